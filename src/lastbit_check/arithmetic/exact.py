"""Exact arithmetic on arrays of integers, carried by float64.

Every array here holds integers of magnitude below 2^53 in float64, so that sums, products and
matrix products are exact as long as no intermediate sum reaches 2^53: the callers bound the sums
first, by Python integers. A real number is an integer n with an exponent e and stands for
n * 2^-e. Nothing is ever rounded silently: a function rounds up, or to nearest with an error of
at most one unit that the caller adds.

Map: integers; argued in docs/bound.md 8
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, dia_array

from lastbit_check.verdict import require

Ints = NDArray[np.float64]
LIMIT = 2**53
FAR = 900  # a number below 2^53 times 2^FAR is one of float64
ZERO_GRID = 100  # exponent given to an array that is exactly 0: it coarsens no sum


class Applied(ABC):
    """A matrix of integers that is not written out: columns are multiplied with it."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]: ...

    @property
    @abstractmethod
    def T(self) -> Applied: ...  # noqa: N802 - as of any other matrix

    @abstractmethod
    def __matmul__(self, x: Ints) -> Ints: ...

    @property
    @abstractmethod
    def gain(self) -> int:
        """Largest sum of the magnitudes of a row."""


Written = Ints | csr_array | csc_array | dia_array
Matrix = Written | Applied  # with which columns are multiplied


def peak(n: Ints) -> int:
    """Largest magnitude in ``n`` as a Python integer (0 if empty)."""
    return int(max(np.max(n), -np.min(n))) if n.size else 0


def shift(n: Ints, bits: int, *, up: bool) -> Ints:
    """n * 2^-bits, rounded up (``up``) or to nearest (error at most 1/2); exact if bits <= 0."""
    if bits < 0:
        require(peak(n) << -bits < LIMIT, "precision", "an integer would exceed 2^53")
    return _shifted(n, bits, up=up) if bits else n


def _shifted(n: Ints, bits: int, *, up: bool) -> Ints:
    scaled = np.asarray(n * 2.0 ** -max(-1000, min(bits, 1000)))  # 0, if need be, by any power
    if bits < 0:
        return scaled
    return np.ceil(scaled, out=scaled) if up else np.rint(scaled, out=scaled)


@dataclass(frozen=True)
class Fix:
    """The array n * 2^-e of exact dyadic numbers. Nobody changes ``n``.

    ``told`` are its `ends`, where they are known.
    """

    n: Ints
    e: int
    told: Ints | None = None

    @cached_property
    def ends(self) -> Ints:
        """The least and the largest number of n."""
        if self.told is not None:
            return self.told
        return np.array([np.min(self.n), np.max(self.n)] if self.n.size else [0.0, 0.0])

    @cached_property
    def peak(self) -> int:
        """Largest magnitude of n."""
        return peak(self.ends)

    def at(self, e: int, *, up: bool = True) -> Fix:
        """The same numbers on the grid 2^-e, rounded up (or to nearest).

        Either rounding is monotonic: of the ends come the ends.
        """
        if e == self.e:
            return self
        bits = self.e - e
        ends = shift(self.ends, bits, up=up)
        return Fix(_shifted(self.n, bits, up=up), e, ends)

    def fit(self, bits: int, *, up: bool = True) -> Fix:
        """Coarsen the grid, only if need be, until every magnitude is at most 2^bits."""
        excess = self.peak.bit_length() - bits
        return self if excess <= 0 else self.at(self.e - excess, up=up)

    def __getitem__(self, index: object) -> Fix:
        return Fix(self.n[index], self.e)  # type: ignore[index]

    def reshape(self, *shape: int) -> Fix:
        return Fix(self.n.reshape(*shape), self.e, self.ends)

    def largest(self) -> Fraction:
        """The largest magnitude."""
        return Fraction(self.peak) / Fraction(2) ** self.e

    def abs(self) -> Fix:
        return Fix(np.abs(self.n), self.e)

    def __neg__(self) -> Fix:
        return Fix(-self.n, self.e, -self.ends[::-1])


def common(*terms: Fix, bits: int = 44) -> int:
    """Exponent of the finest grid wanted on which every term has at most ``bits`` bits."""
    room = [t.e + bits - t.peak.bit_length() for t in terms if t.peak]
    return min([max(t.e for t in terms), *room])


def total(*terms: Fix, up: bool = True, bits: int = 44) -> Fix:
    """Sum of the terms on their common grid.

    Rounded up if ``up``; otherwise to nearest with an error below len(terms) units.
    """
    require(len(terms) << bits < LIMIT, "precision", "too many terms")
    e = common(*terms, bits=bits)
    result, *others = [t.at(e, up=up).n for t in terms if t.peak] or [terms[0].n]
    for n in others:
        result = result + n
    return Fix(np.broadcast_to(result, np.broadcast_shapes(*(t.n.shape for t in terms))), e)


def times(a: Fix, b: Fix, *, bits: tuple[int, int] = (26, 26)) -> Fix:
    """Elementwise product of nonnegative arrays, each first rounded up to so many bits."""
    x, y = a.fit(bits[0]), b.fit(bits[1])
    return Fix(x.n * y.n, x.e + y.e)


def beside(first: Fix, rest: Fix) -> Fix:
    """Two arrays joined along the last axis, on the coarser of their grids, rounded up."""
    e = common(first, rest)
    return Fix(np.concatenate([first.at(e).n, rest.at(e).n], axis=-1), e)


def least(a: Fix, b: Fix) -> Fix:
    """Elementwise minimum; rounded up where the grids are too far apart for float64, else exact."""
    x, y = _on_one_grid(a, b)
    return Fix(np.minimum(x.n, y.n), x.e)


def most(a: Fix, b: Fix) -> Fix:
    """Elementwise maximum, likewise."""
    x, y = _on_one_grid(a, b)
    return Fix(np.maximum(x.n, y.n), x.e)


def _on_one_grid(a: Fix, b: Fix) -> tuple[Fix, Fix]:
    if abs(a.e - b.e) > FAR:
        e = common(a, b)
        return a.at(e), b.at(e)
    e = max(a.e, b.e)
    return Fix(a.n * 2.0 ** (e - a.e), e), Fix(b.n * 2.0 ** (e - b.e), e)


def heaviest_row(w: Matrix) -> int:
    """Largest sum of the magnitudes of a row, an upper bound of the gain in the sup-norm."""
    return w.gain if isinstance(w, Applied) else int(np.max(abs(w).sum(axis=1), initial=0))


def apply(w: Matrix, x: Fix, *, up: bool, where: Written | None = None) -> Fix:
    """w x for integers w and columns x, exact or off by at most one unit.

    An upper bound if ``up``, where both must be nonnegative. If the sums might reach 2^53, x is
    split into a high and a low part, both of whose images are exact, and the image of the low part
    is rounded to nearest. With ``where``, zeros and ones (units, K), x is one column of which the
    columns are parts, and w one row: what is multiplied first is not summed in vain.
    """

    def image(n: Ints) -> Ints:
        if where is None or isinstance(w, Applied):
            return cast("Ints", w @ n)
        return cast("Ints", (w * n.T) @ where)

    gain = heaviest_row(w)
    if up:
        x = x.fit(min(40, 105 - 2 * gain.bit_length()))  # as is required below
    bound = gain * x.peak
    if not bound:
        return Fix(np.zeros((w.shape[0], (x.n if where is None else where).shape[1])), x.e)
    if bound < LIMIT:
        return Fix(image(x.n), x.e)
    h = bound.bit_length() - 51
    require(gain << (h - 1) < LIMIT, "precision", "a sum of products would exceed 2^53")
    high = x.n * 2.0**-h
    np.rint(high, out=high)
    low = high * -(2.0**h)
    low += x.n
    rest = image(low)
    rest *= 2.0**-h
    np.rint(rest, out=rest)
    rest += image(high)
    rest += up
    return Fix(rest, x.e - h)


def matmul_up(a: Fix, b: Fix, where: Written | None = None) -> Fix:
    """Upper bound of the matrix product of nonnegative a (m, k) and b (k, n), as `apply` has it."""
    a = a.fit(28)
    y = apply(a.n, b, up=True, where=where)
    return Fix(y.n, y.e + a.e)


def grid(largest: float, bits: int) -> int:
    """Exponent of the finest grid on which numbers up to ``largest`` have so many bits at most."""
    return bits - math.frexp(largest)[1] if largest > 0 else ZERO_GRID


def from_float(values: NDArray[np.float32] | NDArray[np.float64], bits: int) -> tuple[Fix, Ints]:
    """Nearest integers of at most ``bits`` bits on a common grid, and where they are inexact.

    Returns:
        The dyadic array and an array of 0 and 1, same shape: 1 where the number differs from the
        given one (by at most half a unit).
    """
    x = np.asarray(values, dtype=np.float64)
    e = grid(float(np.max(np.abs(x), initial=0.0)), bits)
    scaled = np.ldexp(x, e)
    n = np.rint(scaled)
    return Fix(n, e), (np.ldexp(n, -e) != x).astype(np.float64)
