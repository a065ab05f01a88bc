"""What every kind of node of the normal form can say of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from scipy.sparse import csr_array

from lastbit_check.arithmetic.exact import Fix, Matrix, Written
from lastbit_check.network import Node, Units
from lastbit_check.operators.forms import Bound, Change, Made, Value
from lastbit_check.operators.kernels import Kernel
from lastbit_check.operators.layers import Layer


@dataclass(frozen=True)
class Setting:
    """A node, the integer form of its sum if it is one, and what the hints say of it.

    ``slope`` (C, 1, 1, 1) is that of its linear core; a ``boxed`` node forgets how it depends on
    the bases. ``taps`` (places of a window, units) are the units in each window, if it has one.
    """

    node: Node
    layer: Layer | None
    slope: Fix
    boxed: bool
    taps: Units | None = None


class Core(NamedTuple):
    """The linear core on one input: its matrix (units, units read) in units of 2^-e."""

    source: str
    w: Matrix
    e: int

    @property
    def written(self) -> csr_array:
        """The matrix, written out."""
        w = self.w
        return w.written if isinstance(w, Kernel) else csr_array(cast("Written", w))


class Kind(Protocol):
    """The rules of a kind of node (docs/bound.md, sections 3 and 4).

    ``hinted`` names the hints that such a node may have: slopes, boxes, together. ``assumed`` are
    the names of what is assumed of such nodes alone.
    """

    @property
    def hinted(self) -> frozenset[str]: ...

    @property
    def assumed(self) -> tuple[str, ...]: ...

    def value(self, setting: Setting, sources: list[Value], spread: Fix, /) -> Made:
        """Its value; ``spread`` (C, H, W, 1) is what the bases make of it."""
        ...

    def change(self, setting: Setting, sources: list[Value], moves: list[Bound], /) -> Change:
        """Its change, for any number of columns."""
        ...

    def cores(self, setting: Setting) -> list[Core]:
        """The linear core that its dual vectors, and columns if it is not boxed, go through."""
        ...
