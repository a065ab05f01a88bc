"""What one node adds to deviations: rounding, what slopes leave out, what float64 loses.

Map: near-image
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lastbit_check.around.binary64 import F64, SURE, TINY_SINGLE, V, upper
from lastbit_check.around.columns import together
from lastbit_check.around.linear import SINGLE, Sums, Weights
from lastbit_check.around.near import Near
from lastbit_check.around.slopes import Other

OWN = 8 * V  # of the magnitudes: what a product of two numbers, and a sum of two of them, lose
MOST_UNITS = 4096  # of a curve whose bends become columns: they are as many


class Together(NamedTuple):
    """Numbers scale z (units,) with |z| <= 1 for the 2-norm of z, and each |z_k| <= each_k."""

    scale: F64
    each: F64


@dataclass(frozen=True)
class Step:
    """How D goes on from a node's inputs, and what is added to it (units,).

    ``rest`` and ``bend`` bound all that is not the ``middle``: ``noise``, the rounding of an
    execution, and what float64 and binary32 lose; and what slopes leave out. All of the latter, the
    middle included, is in ``together`` too, if that is said.
    """

    parts: tuple[Weights, ...]
    middle: F64
    noise: F64
    bend: F64
    rest: F64
    together: Together | None = None


def step_of(made: Other, sums: Sums | None, noise: F64, near: Mapping[str, Near]) -> Step:
    """Of a node that does ``made``, a sum or not, in an execution with so much rounding."""
    sizes = [part.size @ near[part.source].size for part in made.parts]
    rest = upper(noise + made.off + error_of(sums) * sum(sizes) + TINY_SINGLE)
    middle, bend = (made.low + made.high) / 2, upper((made.high - made.low) / 2)
    return Step(made.parts, middle, noise, bend, rest, _bends_of(made, bend, near))


def error_of(sums: Sums | None) -> float:
    """What columns lose, of their magnitudes."""
    return OWN * (1 + SINGLE) if sums is None else sums.error + sums.of_columns


def _bends_of(made: Other, bend: F64, near: Mapping[str, Near]) -> Together | None:
    """Of a curve, what is known of its bends where one ellipsoid is known of what it reads.

    No bend e_k is more of its bound h_k than |D_k| is of r_k: it is made of D^2, of D times known
    numbers, and of what D is beyond a kink. So (e_k / s_k)^2 <= (D_k h_k / (r_k s_k))^2. With s
    the root of h it weighs as it does where each may be as large as it can.
    """
    source = near[made.parts[0].source]
    if not made.own or source.hull is None or len(bend) > MOST_UNITS:
        return None
    most = upper(np.maximum(-made.low, made.high))
    scale, spare = np.sqrt(most), source.hull.spare + np.abs(source.offset)
    weight = upper(most / scale / source.radius)
    length = math.sqrt(together(source.hull.block, spare, weight)) * SURE
    found = Together(scale * length, np.minimum(upper(most / (scale * length)), 1.0))
    useful = np.sum(found.scale**2) < np.sum(bend) ** 2
    return found if useful else None


def sum_of(sums: Sums, near: Mapping[str, Near]) -> Other:
    """What a sum does: its weights leave nothing out."""
    value = sums.bias + sum(part.on(near[part.source].value) for part in sums.parts)
    apart = sum(part.on(near[part.source].apart) for part in sums.parts)
    sizes = {p.source: np.abs(near[p.source].value) + near[p.source].away for p in sums.parts}
    off = sums.bias_off + sums.error * (np.abs(sums.bias) + sums.spread(sizes))
    none = np.zeros(len(value))
    return Other(sums.parts, value, np.asarray(apart), none, none, off)
