"""What is known of a node at an image: a reference, what neighbours' differ by, and deviations.

The reference is what float64 makes of the image. A neighbour has one of its own: the reference and
what it is ``apart``. An execution, on the image or on a neighbour, differs from that reference by

    D = offset + sum of blocks of columns + box,   |D| <= radius,

where nodes share the blocks of what they both depend on, and a box is each unit's own.

Map: near-image
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lastbit_check.around.binary64 import F64, upper
from lastbit_check.around.columns import Block


class Hull(NamedTuple):
    """D is also offset + X z with |z| <= 1, up to ``spare`` (units,): one ellipsoid of a base."""

    base: str
    block: Block
    spare: F64


@dataclass(frozen=True)
class Near:
    """A node: the reference ``value`` (units,), neighbours (units, K), and D.

    ``within`` bounds D otherwise, if anything does; ``hull`` says so of all units together.
    """

    value: F64
    apart: F64
    blocks: Mapping[str, Block]
    box: F64
    offset: F64
    within: F64 | None = None
    hull: Hull | None = None

    @cached_property
    def size(self) -> F64:
        """The magnitudes of all that D is made of."""
        extents = [block.radius for block in self.blocks.values()]
        return upper(np.abs(self.offset) + self.box + sum(extents))

    @property
    def radius(self) -> F64:
        """Upper bound of |D|."""
        return self.size if self.within is None else np.minimum(self.size, self.within)

    @cached_property
    def away(self) -> F64:
        """How far neighbours' references are apart, at most."""
        return np.maximum(np.max(self.apart, axis=1, initial=0.0),
                          -np.min(self.apart, axis=1, initial=0.0))  # fmt: skip

    def forgotten(self) -> Near:
        """Without its columns and neighbours, which nobody needs any more."""
        none = np.zeros((len(self.value), 0))
        return Near(self.value, none, {}, self.size, self.offset, self.radius)
