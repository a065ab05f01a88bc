"""Rigorous rational enclosures of the few real functions that the rules need.

exp is enclosed by its Taylor sum with the Lagrange remainder after halving the argument; logistic
sigmoid, SiLU, their slopes and tanh follow from it. Tables on a grid of 1/64 carry the slopes and
values to arrays; between grid points monotonicity is used:

    sigma increases; sigma' increases on (-inf, 0] and decreases on [0, inf);
    silu decreases on (-inf, a], increases on [a, inf), a = -1.2784...;
    silu' decreases on (-inf, -b], increases on [-b, b], decreases on [b, inf), b = 2.3993...;
    |silu'(z) - 1/2| <= |z|/2 and 0 <= silu(z) - z/2 <= z^2/4, because 0 <= tanh(y)/y <= 1.

(silu'' = sigma'(z) (2 - z tanh(z/2)) vanishes where z tanh(z/2) = 2, and |silu''| <= 1/2.)
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np

from lastbit_check.exact import Fix, Ints

BITS = 24  # slopes and sigmoid values are tabulated as integers over 2^24
STEP = 64  # table points per unit
END = 24 * STEP  # the tables cover [-24, 24]


def exp_bounds(x: Fraction) -> tuple[Fraction, Fraction]:
    """Rational lo <= exp(x) <= hi, relative width below 2^-60 for |x| <= 64."""
    if x < 0:
        lo, hi = exp_bounds(-x)
        return 1 / hi, 1 / lo
    halvings = max(0, (int(x) + 1).bit_length() + 2)
    y = x / 2**halvings
    term, lo = Fraction(1), Fraction(1)
    for k in range(1, 14):
        term = term * y / k
        lo += term
    lo, hi = _round(lo, down=True), _round(lo + 2 * term * y / 14, down=False)
    for _ in range(halvings):
        lo, hi = _round(lo * lo, down=True), _round(hi * hi, down=False)
    return lo, hi


def _round(x: Fraction, *, down: bool) -> Fraction:
    """x rounded to 100 significant bits, down or up, so that fractions stay short."""
    bits = 100 - (x.numerator.bit_length() - x.denominator.bit_length())
    scaled = x * Fraction(2) ** bits
    n = math.floor(scaled) if down else math.ceil(scaled)
    return Fraction(n) / Fraction(2) ** bits


def tanh_upper(x: Fraction) -> Fraction:
    """Upper bound of tanh(x) for x >= 0: 1 - 2 / (exp(2x) + 1), at most 1."""
    if x > 40:
        return Fraction(1)
    return min(Fraction(1), x, 1 - 2 / (exp_bounds(2 * x)[1] + 1))


@cache
def tables() -> dict[str, tuple[Ints, Ints]]:
    """Lower and upper integer tables (unit 2^-24) at the points k/64, |k| <= END.

    Integers over 2^200 enclose exp(k/64), by powers of exp(1/64); then with s = sigma(z),
    silu(z) = z s and silu'(z) = s (1 + z (1 - s)), over 2^60.
    """
    one, unit = 1 << 200, 1 << 60
    base = [int(bound * one) + k for k, bound in enumerate(exp_bounds(Fraction(1, STEP)))]
    low, high = [one], [one]
    for _ in range(END):
        low.append(low[-1] * base[0] // one)
        high.append(high[-1] * base[1] // one + 1)
    rows: dict[str, list[tuple[int, int]]] = {
        name: [] for name in ("sigmoid", "sigmoid'", "silu", "silu'")
    }
    for k in range(-END, END + 1):
        below, above = low[abs(k)], high[abs(k)]
        right = (below * unit // (one + below), above * unit // (one + above) + 1)
        s = right if k >= 0 else (unit - right[1], unit - right[0])
        c = (unit - s[1], unit - s[0])
        z = (k * unit // STEP, k * unit // STEP)
        inner = _product(z, c, unit)
        rows["sigmoid"].append(s)
        rows["sigmoid'"].append(_product(s, c, unit))
        rows["silu"].append(_product(z, s, unit))
        rows["silu'"].append(_product(s, (unit + inner[0], unit + inner[1]), unit))
    coarse = unit >> BITS
    return {
        name: (np.array([float(r[0] // coarse) for r in values]),
               np.array([float(-(-r[1] // coarse)) for r in values]))
        for name, values in rows.items()
    }  # fmt: skip


def _product(a: tuple[int, int], b: tuple[int, int], unit: int) -> tuple[int, int]:
    """Enclosure of the product of two intervals of integers over ``unit``."""
    corners = [p * q for p in a for q in b]
    return min(corners) // unit, -(-max(corners) // unit)


def _ends(name: str, lo: Fix, hi: Fix) -> tuple[Ints, Ints, Ints, Ints]:
    """The last table point <= lo and the first one >= hi, clipped to the table (their indices).

    Then the smaller of the table's lower bounds at the two, and the larger of its upper ones.
    """
    low = np.clip(np.floor(np.ldexp(lo.n, 6 - lo.e)), -END, END)
    high = np.clip(np.ceil(np.ldexp(hi.n, 6 - hi.e)), -END, END)
    (down, up), i, j = tables()[name], (low + END).astype(np.intp), (high + END).astype(np.intp)
    return low, high, np.minimum(down[i], down[j]), np.maximum(up[i], up[j])


def _magnitude(lo: Fix, hi: Fix, bits: int) -> Ints:
    """max(|lo|, |hi|) in units of 2^-bits, rounded up (ldexp is exact at these magnitudes)."""
    left, right = np.ldexp(np.abs(lo.n), bits - lo.e), np.ldexp(np.abs(hi.n), bits - hi.e)
    return np.ceil(np.maximum(left, right))


def silu_slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of silu' on [lo, hi], elementwise.

    Beyond the table silu' lies within 2^-24 * 64 of 0 (left) or 1 (right), on its monotone tails:
    the value at the table's end, which is the extreme one there, and the limit enclose it.
    """
    unit = float(2**BITS)
    low, high, least, most = _ends("silu'", lo, hi)
    valley, hill = (low <= -153) & (high >= -154), (low <= 154) & (high >= 153)
    least = np.where(valley, np.floor(-0.09984 * unit), least)
    most = np.where(hill, np.ceil(1.09984 * unit), most)
    most = np.where(low <= -END, np.maximum(most, 0.0), most)
    least = np.where(high >= END, np.minimum(least, unit), least)
    near = np.minimum(_magnitude(lo, hi, BITS - 1), unit)
    least, most = np.maximum(least, unit / 2 - near), np.minimum(most, unit / 2 + near)
    return Fix(least, BITS), Fix(most, BITS)


def silu_values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of silu on [lo, hi], elementwise: least is -0.2785, and silu(z) <= max(z, 0)."""
    low, high, least, most = _ends("silu", lo, hi)
    valley = (low <= -81) & (high >= -82)
    least = np.where(valley, np.floor(-0.27847 * 2**BITS), least)
    most = np.where(low <= -END, np.maximum(most, 0.0), most)
    e = min(BITS, hi.e)  # right of the table silu(z) <= z
    top = np.where(high >= END, np.maximum(hi.at(e).n, 0.0), Fix(most, BITS).at(e).n)
    return Fix(least, BITS), Fix(top, e)


def sigmoid_values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of sigma on [lo, hi], elementwise."""
    low, high, least, most = _ends("sigmoid", lo, hi)
    least = np.where(low <= -END, 0.0, least)
    return Fix(least, BITS), Fix(np.where(high >= END, float(2**BITS), most), BITS)


def sigmoid_slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of sigma' on [lo, hi], elementwise; it is between 1/4 - z^2/16 and 1/4."""
    quarter = float(2 ** (BITS - 2))
    low, high, least, most = _ends("sigmoid'", lo, hi)
    least = np.where((low <= -END) | (high >= END), 0.0, least)
    most = np.where((low <= 0) & (high >= 0), quarter, most)
    reach = np.minimum(_magnitude(lo, hi, 12), 2.0**13)
    least = np.maximum(least, quarter - np.ceil(reach * reach / 16))
    return Fix(least, BITS), Fix(np.minimum(most, quarter), BITS)
