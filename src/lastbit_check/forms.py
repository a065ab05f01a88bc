"""What is known of a node's computed values, for all images, and of their change.

For every image and every allowed execution the computed value is, elementwise,

    x = c + A (x_base - c_base) + e,   |e| <= error[..., 0],   |A| radius_base <= spread[..., 0]

with the linear map A of the base node (see columns.py; zero where a node does not depend on it).
For two images that differ in a pixel of group g, |x' - x| <= error[..., 1+g] + spread[..., 1+g].
The last group is no pixel's: it bounds how far a computed value is from the exact one, that of
real arithmetic on the same image.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check.exact import Fix, total
from lastbit_check.layers import Layer
from lastbit_check.verdict import require

UNIT = Fraction(1, 2**24)  # unit roundoff of binary32
CEILING = Fraction(2) ** 127  # below the overflow threshold of binary32


@dataclass(frozen=True)
class Form:
    """c (C, H, W, 1), error and spread (C, H, W, 1 + groups)."""

    c: Fix
    error: Fix
    spread: Fix

    @property
    def radius(self) -> Fix:
        """Half widths (C, H, W, 1 + groups): range first, then change by group."""
        return total(self.error, self.spread)

    @property
    def interval(self) -> tuple[Fix, Fix]:
        """Lower and upper bound of the computed value (C, H, W, 1)."""
        r = self.radius[..., :1]
        below = total(Fix(-self.c.n, self.c.e), r)
        return Fix(-below.n, below.e), total(self.c, r)

    @property
    def magnitude(self) -> Fix:
        """Upper bound of |x| (C, H, W, 1)."""
        return total(self.c.abs(), self.radius[..., :1])

    @property
    def moves(self) -> Fix:
        """Upper bound of |x' - x| by group (C, H, W, groups)."""
        return self.radius[..., 1:]


def underflow(gain: Fraction) -> Fix:
    """One unit of a grid that bounds gain * 2^-126: what underflow and flush-to-zero add."""
    e = min(100, 126 - math.ceil(gain).bit_length())
    require(e > -128, "rounding.underflow", "the underflow term is out of reach")
    return Fix(np.array(1.0), e)


def layer_underflow(layer: Layer, size: Fix) -> Fix:
    """Underflow in a sum of products: every operand read and every result may be off by 2^-126.

    The magnitudes of weights and values multiply that; 64 (terms + 1) operations cover a sum, where
    zeros added to a partial sum count once: a chain of them flushes it once at most.
    """
    return underflow(64 * (layer.terms + 1) * layer.reach * (size.largest() + 1))


def finite(size: Fraction) -> None:
    """Rule finite.values: no computed value, nor partial sum, reaches 2^127."""
    require(2 * size < CEILING, "finite.values", "a value may overflow")
