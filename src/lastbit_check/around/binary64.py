"""Real numbers by float64, each result with a bound on its error.

v = 2^-53 is the unit roundoff. A sum of n products, in any order, fused or not, is off by at most
n v / (1 - n v) of the sum of their magnitudes (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1), and by what underflows, n 2^-1074. Two rules follow, and no
function is trusted that is not written here:

    a number >= 0 made of numbers >= 0 by fewer than MOST additions and multiplications in a row is
    within a factor `SURE` of what is meant: `upper` multiplies by it, and adds `TINY`;
    of a sum of products with signs, `gamma` says the error as a multiple of the magnitudes.

Map: float64; argued in docs/images.md
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lastbit_check.arithmetic.exact import Fix
from lastbit_check.verdict import require

F64 = NDArray[np.float64]
V = 2.0**-53
MOST = 2**22
SURE = 1 + 2.0**-30  # (1 + v)^MOST is below it, by half
TINY = 2.0**-1000
TINY_SINGLE = 2.0**-90  # likewise of columns in binary32: fewer than 2^36 of them underflow
EXP_ERROR = 2.0**-45
LOGISTIC_ERROR = 2.0**-44
LEAST_EXPONENT = 700.0

_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # 32 bits: its product with 11 bits is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_TAYLOR = [1 / math.factorial(k) for k in range(15)]


def upper(x: F64) -> F64:
    """Not below what was meant, of x >= 0 computed from numbers >= 0."""
    return x * SURE + TINY


def gamma(terms: int) -> float:
    """The relative error of a sum of so many products, each of which rounded twice before."""
    require(terms < MOST // 2, "precision", "a sum is too long for float64")
    return (terms + 4) * 2 * V


def exp_negative(x: F64) -> F64:
    """exp(-x) for x >= 0, within EXP_ERROR of itself; of x > LEAST_EXPONENT, at most 2^-1009.

    x = k ln 2 + r with |r| <= 0.35: k is below 2^11, so k times the high part of ln 2 is exact, and
    r is off by at most 2^-52 in all. The series is cut after r^14, which leaves less than 2^-60 of
    exp(r); Horner's rule rounds 28 times numbers whose magnitudes add up to exp(|r|) <= 2.02
    exp(r), so that all of it is below 70 v = 2^-46.8.
    """
    y = -np.minimum(x, LEAST_EXPONENT)
    k = np.rint(y / _LN2_HIGH)
    r = (y - k * _LN2_HIGH) - k * _LN2_LOW
    found = np.full(r.shape, _TAYLOR[-1])
    for coefficient in _TAYLOR[-2::-1]:
        found = found * r + coefficient
    return np.ldexp(found, k.astype(np.int64))


def logistic(z: F64) -> tuple[F64, F64]:
    """sigma(z) and sigma(-z) = 1 - sigma(z), each within LOGISTIC_ERROR of itself, and TINY."""
    e = exp_negative(np.abs(z))
    large, small = 1 / (1 + e), e / (1 + e)
    positive = z >= 0
    return np.where(positive, large, small), np.where(positive, small, large)


def fixed(x: F64, bits: int = 44) -> Fix:
    """Numbers >= 0 as integers of so many bits at most, rounded up."""
    e = _grid(x, bits)
    return Fix(np.ceil(np.ldexp(x, e)), e)


def centred(x: F64, bits: int = 29) -> tuple[Fix, F64]:
    """The nearest integers of so many bits at most, and how far each is off."""
    e = _grid(np.abs(x), bits)
    n = np.rint(np.ldexp(x, e))
    return Fix(n, e), np.abs(x - np.ldexp(n, -e))


def real(x: Fix) -> F64:
    """Integers of fewer than 53 bits as numbers, exactly."""
    return np.ldexp(x.n, -x.e)


def _grid(x: F64, bits: int) -> int:
    largest = float(np.max(x, initial=0.0))
    require(largest < 2.0**60, "around.radius", "what is known of a value says nothing any more")
    return min(bits - math.frexp(largest)[1], 200) if largest else 200
