"""How far two numbers of binary32 are apart, exactly.

|a - b| = high + low, two numbers of binary64: high is |a - b| to nearest, low is what that leaves,
with its sign. (high, low) in the order of a dictionary are in the order of the exact numbers,
because rounding is monotone. No overflow or underflow is near: a and b are probabilities, multiples
of 2^-149. The remainder is Knuth's (The Art of Computer Programming, vol. 2, 4.2.2, theorem B).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


class Change(NamedTuple):
    """high + low, of one pair of numbers; tuples compare as the exact numbers do."""

    high: float
    low: float


NONE = Change(-1.0, 0.0)
"""Less than any."""


def changes(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[Real, Real]:
    """|after - before| as high and low, number by number."""
    a, b = after.astype(np.float64), before.astype(np.float64)
    d = a - b
    back = a - d
    left = (a - (d + back)) + (back - b)
    return np.abs(d), np.where(d < 0, -left, left)


def largest(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.intp]:
    """For each row (m, classes) the class that changes most; the first of equals."""
    high, low = changes(before, after)
    top = high == high.max(axis=1, keepdims=True)
    return np.where(top, low, -np.inf).argmax(axis=1)


def may_beat(
    limits: Real, high: Real | float, low: Real | float, ahead: NDArray[np.bool_] | bool
) -> NDArray[np.bool_]:
    """Where what is at most ``limits`` may come before high + low: larger, or equal and ahead."""
    larger = (limits > high) | ((limits == high) & np.less(low, 0))
    return larger | ((limits == high) & np.equal(low, 0) & ahead)


def exceeds(change: Change, limit: float) -> bool:
    """Whether a change is larger than a limit, exactly."""
    return change.high > limit or (change.high == limit and change.low > 0)
