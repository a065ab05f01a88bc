"""Rigorous rational enclosures of the few real functions that the rules need.

exp is Python's decimal one, which is correctly rounded, with ten of its digits given away; logistic
sigmoid, SiLU, their slopes and tanh follow from it. Tables on a grid of 1/64 carry the slopes and
values to arrays; between grid points monotonicity is used:

    sigma increases; sigma' increases on (-inf, 0] and decreases on [0, inf);
    silu decreases on (-inf, a], increases on [a, inf), a = -1.2784...;
    silu' decreases on (-inf, -b], increases on [-b, b], decreases on [b, inf), b = 2.3993...;
    near 0 each is within a multiple of |z| of its value there.

(silu'' = sigma'(z) (2 - z tanh(z/2)) vanishes where z tanh(z/2) = 2, and |silu''| <= 1/2. The
slope of sigma is at most 1/4, that of sigma' less than 1/8, and silu(z) = z sigma(z).)

Map: enclosures <- silu_enclosed, silu'_enclosed, sigmoid'_enclosed, silu_slope_range,
sigmoid_slope_range, silu_slope_near, silu_near; argued in PROOF.md 3.5
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check.arithmetic.exact import Fix, Ints

BITS = 24  # slopes and sigmoid values are tabulated as integers over 2^24
STEP = 64  # table points per unit
END = 24 * STEP  # the tables cover [-24, 24]
FINE = 96  # bits of a sigmoid's value, before it is put into a table
Exact = NDArray[Any]  # of Python integers
Bounds = tuple[Exact, Exact]
Table = tuple[Ints, Ints]


@dataclass(frozen=True)
class Tabulated:
    """A function by its values at the points k/64, and by what it does between and beyond.

    ``values`` are lower and upper integers in units of 2^-BITS, for |k| <= END. ``extremes`` are
    (k, j, y): y is what it may come near from the point k/64 to j/64, where it turns, or on its
    monotone tail beyond the table; an infinite one stands for y <= z. Everywhere it is within
    ``near[1]`` |z| of ``near[0]``, an integer over 2^BITS, if that is said.
    """

    values: Callable[[], Table]
    extremes: tuple[tuple[int, int, float], ...]
    near: tuple[float, float] | None

    @classmethod
    def exactly(
        cls,
        sides: Callable[[Fraction], tuple[Fraction, Fraction]],
        extremes: tuple[tuple[int, int, float], ...],
        near: tuple[float, float] | None,
    ) -> Tabulated:
        """Of a function that is between two rational numbers at each point, or on its sides."""

        @cache
        def values() -> Table:
            found = [sorted(sides(Fraction(k, STEP))) for k in range(-END, END + 1)]
            low = [math.floor(y * 2**BITS) for y, _ in found]
            high = [math.ceil(y * 2**BITS) for _, y in found]
            return np.array(low, np.float64), np.array(high, np.float64)

        return cls(values, extremes, near)


DIGITS, SURE = 60, Fraction(1, 10**50)  # of exp, and its relative error for |x| <= 2^20


@cache
def exp_bounds(x: Fraction) -> tuple[Fraction, Fraction]:
    """lo <= exp(x) <= hi for |x| <= 2^20: x is rounded to DIGITS, and so is its exp."""
    context = Context(prec=DIGITS)
    near = context.divide(Decimal(x.numerator), Decimal(x.denominator))
    y = Fraction(context.exp(near))
    return y * (1 - SURE), y * (1 + SURE)


def tanh_upper(x: Fraction) -> Fraction:
    """Upper bound of tanh(x) for x >= 0: 1 - 2 / (exp(2x) + 1), at most 1."""
    if x > 40:
        return Fraction(1)
    return min(Fraction(1), x, 1 - 2 / (exp_bounds(2 * x)[1] + 1))


@cache
def tables() -> dict[str, Table]:
    """Lower and upper integer tables (unit 2^-BITS) at the points k/64, |k| <= END.

    With s = sigma(z): silu(z) = z s, sigma'(z) = s (1 - s) and silu'(z) = s (1 + z (1 - s)). In
    integers, s in units of 2^-FINE and z in units of 2^-6.
    """
    one: int = 2**FINE
    z: Exact = np.array([*range(-END, END + 1)], object)
    bounds = [exp_bounds(Fraction(k, STEP)) for k in z]
    low: Exact = np.array([math.floor(lo / (1 + lo) * one) for lo, _ in bounds], object)
    high: Exact = np.array([math.ceil(hi / (1 + hi) * one) for _, hi in bounds], object)
    s, complement = (low, high), (one - high, one - low)
    inner = _product((z, z), complement)
    grown = tuple(v + STEP * one for v in inner)
    return {
        "sigmoid": _table(s, FINE),
        "sigmoid'": _table(_product(s, complement), 2 * FINE),
        "silu": _table(_product((z, z), s), FINE + 6),
        "silu'": _table(_product(s, (grown[0], grown[1])), 2 * FINE + 6),
    }


def _product(a: Bounds, b: Bounds) -> Bounds:
    """Enclosure of the product of two intervals."""
    corners = [p * q for p in a for q in b]
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def _table(bounds: Bounds, e: int) -> Table:
    """Integers in units of 2^-e as integers of 2^-BITS, rounded outwards."""
    low, high = bounds
    unit = 2 ** (e - BITS)
    return (low // unit).astype(np.float64), (-(-high // unit)).astype(np.float64)


SIGMOID = Tabulated(
    lambda: tables()["sigmoid"], ((-END, -END, 0.0), (END, END, 1.0)), near=(0.5, 0.25)
)
SIGMOID_SLOPE = Tabulated(
    lambda: tables()["sigmoid'"],
    ((-END, -END, 0.0), (0, 0, 0.25), (END, END, 0.0)),
    near=(0.25, 0.125),
)
SILU = Tabulated(
    lambda: tables()["silu"],
    ((-END, -END, 0.0), (-82, -81, -0.27847), (END, END, math.inf)),
    near=(0.0, 1.0),
)
SILU_SLOPE = Tabulated(
    lambda: tables()["silu'"],
    ((-END, -END, 0.0), (-154, -153, -0.09984), (153, 154, 1.09984), (END, END, 1.0)),
    near=(0.5, 0.5),
)


def enclosed(f: Tabulated, lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """Enclosure of a tabulated function on [lo, hi], elementwise: its ends, its extremes between.

    The ends are the last table point <= lo and the first one >= hi, clipped to the table. (ldexp is
    exact at these magnitudes.)
    """
    low = np.clip(np.floor(np.ldexp(lo.n, 6 - lo.e)), -END, END)
    high = np.clip(np.ceil(np.ldexp(hi.n, 6 - hi.e)), -END, END)
    (down, up), i, j = f.values(), (low + END).astype(np.intp), (high + END).astype(np.intp)
    least, most = np.minimum(down[i], down[j]), np.maximum(up[i], up[j])
    for first, last, value in f.extremes:
        met, bound = (low <= last) & (high >= first), value * 2**BITS
        least = np.where(met, np.minimum(least, np.floor(bound)), least)
        most = np.where(met, np.maximum(most, np.ceil(bound)), most)
    most = np.where(most < math.inf, most, np.ceil(np.ldexp(hi.n, BITS - hi.e)))  # y <= z
    if f.near is None:
        return Fix(least, BITS), Fix(most, BITS)
    at_zero, rate = (value * 2.0**BITS for value in f.near)
    away = np.maximum(np.abs(np.ldexp(lo.n, -lo.e)), np.abs(np.ldexp(hi.n, -hi.e)))
    away = np.ceil(rate * away)
    return Fix(np.maximum(least, at_zero - away), BITS), Fix(np.minimum(most, at_zero + away), BITS)
