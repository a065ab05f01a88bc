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

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check.exact import Fix, Ints, rounded

BITS = 24  # slopes and sigmoid values are tabulated as integers over 2^24
STEP = 64  # table points per unit
END = 24 * STEP  # the tables cover [-24, 24]
Bounds = tuple[NDArray[Any], NDArray[Any]]  # of fractions
# Values that a function may come near from the first of two points k/64 to the second: where it
# turns, and its limit on its monotone tail beyond the table (silu grows: see silu_values).
EXTREMES = {
    "sigmoid": [(-END, -END, 0.0), (END, END, 1.0)],
    "sigmoid'": [(-END, -END, 0.0), (0, 0, 0.25), (END, END, 0.0)],
    "silu": [(-END, -END, 0.0), (-82, -81, -0.27847)],
    "silu'": [(-END, -END, 0.0), (-154, -153, -0.09984), (153, 154, 1.09984), (END, END, 1.0)],
}


@cache
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
    lo, hi = rounded(lo, 100, down=True), rounded(lo + 2 * term * y / 14, 100)
    for _ in range(halvings):
        lo, hi = rounded(lo * lo, 100, down=True), rounded(hi * hi, 100)
    return lo, hi


def tanh_upper(x: Fraction) -> Fraction:
    """Upper bound of tanh(x) for x >= 0: 1 - 2 / (exp(2x) + 1), at most 1."""
    if x > 40:
        return Fraction(1)
    return min(Fraction(1), x, 1 - 2 / (exp_bounds(2 * x)[1] + 1))


@cache
def tables() -> dict[str, tuple[Ints, Ints]]:
    """Lower and upper integer tables (unit 2^-24) at the points k/64, |k| <= END.

    With s = sigma(z): silu(z) = z s, sigma'(z) = s (1 - s) and silu'(z) = s (1 + z (1 - s)).
    """
    z: NDArray[Any] = np.array([Fraction(k, STEP) for k in range(-END, END + 1)], object)
    lo, hi = np.array([exp_bounds(x) for x in z], object).T
    s, complement = (lo / (1 + lo), hi / (1 + hi)), (1 / (1 + hi), 1 / (1 + lo))
    inner = _product((z, z), complement)
    rows: dict[str, Bounds] = {
        "sigmoid": s,
        "sigmoid'": _product(s, complement),
        "silu": _product((z, z), s),
        "silu'": _product(s, (1 + inner[0], 1 + inner[1])),
    }
    return {name: ((lo * 2**BITS // 1).astype(np.float64), -(-hi * 2**BITS // 1).astype(np.float64))
            for name, (lo, hi) in rows.items()}  # fmt: skip


def _product(a: Bounds, b: Bounds) -> Bounds:
    """Enclosure of the product of two intervals."""
    corners = [p * q for p in a for q in b]
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def _enclosed(name: str, lo: Fix, hi: Fix) -> tuple[Ints, Ints]:
    """Enclosure of a tabulated function on [lo, hi], elementwise: its ends, its EXTREMES between.

    The ends are the last table point <= lo and the first one >= hi, clipped to the table.
    """
    low = np.clip(np.floor(np.ldexp(lo.n, 6 - lo.e)), -END, END)
    high = np.clip(np.ceil(np.ldexp(hi.n, 6 - hi.e)), -END, END)
    (down, up), i, j = tables()[name], (low + END).astype(np.intp), (high + END).astype(np.intp)
    least, most = np.minimum(down[i], down[j]), np.maximum(up[i], up[j])
    for first, last, value in EXTREMES[name]:
        met, bound = (low <= last) & (high >= first), value * 2**BITS
        least = np.where(met, np.minimum(least, np.floor(bound)), least)
        most = np.where(met, np.maximum(most, np.ceil(bound)), most)
    return least, most


def _magnitude(lo: Fix, hi: Fix, bits: int) -> Ints:
    """max(|lo|, |hi|) in units of 2^-bits, rounded up (ldexp is exact at these magnitudes)."""
    left, right = np.ldexp(np.abs(lo.n), bits - lo.e), np.ldexp(np.abs(hi.n), bits - hi.e)
    return np.ceil(np.maximum(left, right))


def silu_slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of silu' on [lo, hi], elementwise; it is within |z|/2 of 1/2."""
    (least, most), half = _enclosed("silu'", lo, hi), 2.0 ** (BITS - 1)
    near = np.minimum(_magnitude(lo, hi, BITS - 1), 2 * half)
    return Fix(np.maximum(least, half - near), BITS), Fix(np.minimum(most, half + near), BITS)


def silu_values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of silu on [lo, hi], elementwise: silu(z) <= z to the right of the table."""
    least, most = _enclosed("silu", lo, hi)
    e = min(BITS, hi.e)
    beyond = np.ceil(np.ldexp(hi.n, 6 - hi.e)) >= END
    return Fix(least, BITS), Fix(np.where(beyond, hi.at(e).n, Fix(most, BITS).at(e).n), e)


def sigmoid_values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of sigma on [lo, hi], elementwise."""
    least, most = _enclosed("sigmoid", lo, hi)
    return Fix(least, BITS), Fix(most, BITS)


def sigmoid_slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of sigma' on [lo, hi], elementwise; it is between 1/4 - z^2/16 and 1/4."""
    (least, most), quarter = _enclosed("sigmoid'", lo, hi), 2.0 ** (BITS - 2)
    reach = np.minimum(_magnitude(lo, hi, 12), 2.0**13)
    least = np.maximum(least, quarter - np.ceil(reach * reach / 16))
    return Fix(least, BITS), Fix(np.minimum(most, quarter), BITS)
