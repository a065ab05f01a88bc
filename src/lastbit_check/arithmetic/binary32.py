"""What binary32 may do to a number, each rounding by its name.

u = 2^-24 is the unit roundoff (round to nearest), eta = 2^-126 the least normal number. Whatever
the exact t of an operation is, its result is within u |t| + eta (docs/bound.md, section 2).

Map: roundings <- any-order-binary32, nearest_rounds, converted_rounds, flushed_rounds,
nearest_shifts
"""

import math
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.verdict import require

UNIT_BITS, ETA_BITS = 24, 126
UNIT, ETA = Fraction(1, 2**UNIT_BITS), Fraction(1, 2**ETA_BITS)
CEILING = Fraction(2) ** 127  # no computed value, nor partial sum, reaches half of it


def rounding(size: Fix) -> Fix:
    """u |t| for |t| <= size: one rounding, underflow aside."""
    return Fix(size.n, size.e + UNIT_BITS)


def half_roundings(sizes: Fix) -> Fix:
    """u / 2 times sizes that have been counted twice, so that halves of them are integers."""
    return Fix(sizes.n, sizes.e + UNIT_BITS + 1)


def underflow(gain: Fraction) -> Fix:
    """One unit of a grid that bounds gain * eta: what underflow and flush-to-zero add."""
    e = min(ZERO_GRID, ETA_BITS - math.ceil(gain).bit_length())
    require(e > -128, "rounding.underflow", "the underflow term is out of reach")
    return Fix(np.array(1.0), e)


def finite(size: Fraction) -> None:
    """Rule finite.values: no computed value, nor partial result, reaches the overflow threshold."""
    require(2 * size < CEILING, "finite.values", "a value may overflow")


def power_of_two(x: Fraction) -> bool:
    """Whether a product with x moves the exponent only."""
    n, d = abs(x.numerator), x.denominator
    return n > 0 and n & (n - 1) == 0 and d & (d - 1) == 0
