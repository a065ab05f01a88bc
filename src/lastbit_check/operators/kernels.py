"""Kernels laid on images: sums of products with the same numbers at every place.

Such a sum is not written out as a matrix: what a kernel is laid on, some rows of places after
others, is multiplied with it, and each product and sum is exact (exact.py), in whatever order.

Map: sum
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.arithmetic.exact import Applied, Ints
from lastbit_check.network import Part, Shape, Units, View

BLOCK = 2**21  # numbers that a kernel is laid on, at a time
FEW = 2**17  # products of a matrix that is written out


@dataclass(frozen=True)
class Places:
    """Where a kernel (O, I / groups, kh, kw) lies to make ``shape`` of what is ``seen`` (I, H, W).

    ``rows`` (kh, H made) and ``columns`` (kw, W made) are those on which each of its own lies, -1
    outside. What is read has so many ``units``; ``picked`` (units seen, units) shows them by a
    view, None as they are.
    """

    shape: Shape
    seen: Shape
    groups: int
    rows: Units
    columns: Units
    units: int
    picked: csr_array | None = None

    def on(self, x: Ints) -> Ints:
        """What is read (units, K), as it is seen (I, H + 1, W + 1, K): zeros stand outside."""
        channels, high, wide = self.seen
        found = np.zeros((channels, high + 1, wide + 1, x.shape[1]))
        shown = x if self.picked is None else self.picked @ x
        found[:, :high, :wide] = shown.reshape(*self.seen, -1)
        return found

    def laid(self, on: Ints, here: slice) -> Ints:
        """What the kernel lies on (groups, terms, places x K), for some rows of places."""
        (channels, high, wide), k = self.seen, on.shape[3]
        down: Units = self.rows[:, here] % (high + 1)
        across: Units = self.columns % (wide + 1)
        places = down[:, None, :, None] * (wide + 1) + across[:, None]
        found = np.take(on.reshape(channels, -1, k), places.ravel(), axis=1)
        return found.reshape(self.groups, self.terms, -1)

    def image(self, kernel: Ints, x: Ints) -> Ints:
        """The sums (units made, K) for a kernel (groups, O / groups, terms)."""
        on, k = self.on(x), x.shape[1]
        found = np.empty((*kernel.shape[:2], self.shape[1], self.shape[2] * k))
        for here in pieces(self.shape[1], self._wide * k):
            made = kernel @ self.laid(on, here)
            found[:, :, here] = made.reshape(*kernel.shape[:2], -1, self.shape[2] * k)
        return found.reshape(-1, k)

    def back(self, kernel: Ints, a: Ints) -> Ints:
        """The transpose of the same matrix, times (units made, K)."""
        k, (high, wide) = a.shape[1], self.seen[1:]
        found = np.zeros((self.seen[0], high + 1, wide + 1, k))
        above = a.reshape(*kernel.shape[:2], self.shape[1], -1)
        places = self.shape[1] * self.shape[2] < len(self.rows) * len(self.columns)
        for here in pieces(self.shape[1], self._wide * k):
            made = kernel.swapaxes(1, 2) @ above[:, :, here].reshape(*kernel.shape[:2], -1)
            made = made.reshape(self.seen[0], len(self.rows), len(self.columns), -1,
                                self.shape[2], k)  # fmt: skip
            down, across = self.rows[:, here], self.columns
            if places:  # of these there are fewer than there are places of the kernel
                made, down, across = made.transpose(0, 3, 4, 1, 2, 5), down.T, across.T
            for i, rows in enumerate(down):
                for j, columns in enumerate(across):
                    found[:, rows[:, None], columns] += made[:, i, j]  # outside, any of them
        flat = found[:, :high, :wide].reshape(-1, k)
        return flat if self.picked is None else self.picked.T @ flat

    def numbers(self, there: NDArray[np.bool_]) -> csr_array:
        """For a unit and one that it reads, the place in the flattened kernel: of the ones there.

        That is a matrix (units made, units), written out.
        """
        numbers = np.flatnonzero(there)
        out, inner, *tap = np.unravel_index(numbers, there.shape)
        channel = inner + out * self.groups // len(there) * there.shape[1]
        y, x = (of[at] for of, at in zip((self.rows, self.columns), tap, strict=True))
        inside = (y >= 0)[:, :, None] & (x >= 0)[:, None]
        read = (channel[:, None, None] * self.seen[1] + y[:, :, None]) * self.seen[2] + x[:, None]
        unit = np.arange(math.prod(self.shape)).reshape(self.shape)[out]
        every = np.broadcast_to(numbers[:, None, None], inside.shape)
        places = unit[inside], read[inside]
        shape = math.prod(self.shape), math.prod(self.seen)
        made = csr_array((every[inside], places), shape)
        return made if self.picked is None else _through(made, self.picked)

    def cut(self, made: slice, read: slice) -> Places:
        """Some rows, and some of what is read, as it is: among them all that those rows read."""
        rows = self.rows[:, made]
        rows = np.where(rows >= 0, rows - read.start, -1)
        (out, _, wide), (inner, _, across) = self.shape, self.seen
        seen = (inner, read.stop - read.start, across)
        shape = (out, made.stop - made.start, wide)
        return replace(self, shape=shape, seen=seen, rows=rows, units=math.prod(seen))

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which places of the kernel ever lie inside (kh, kw)."""
        return np.any(self.rows >= 0, axis=1)[:, None] & np.any(self.columns >= 0, axis=1)

    @property
    def terms(self) -> int:
        """Numbers of the kernel for one that it makes."""
        return self.seen[0] // self.groups * len(self.rows) * len(self.columns)

    @property
    def _wide(self) -> int:
        """Numbers that a kernel lies on, for a row of places."""
        return self.terms * self.groups * self.shape[2]


@dataclass(frozen=True)
class Kernel(Applied):
    """The matrix (units made, units read) of the numbers of a kernel (O, I / groups, kh, kw).

    Its products are those of the numbers that are ``there``. Where they are few it is written out.
    """

    places: Places
    numbers: Ints
    there: NDArray[np.bool_]
    turned: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        made, read = math.prod(self.places.shape), self.places.units
        return (read, made) if self.turned else (made, read)

    @property
    def T(self) -> Kernel:  # noqa: N802 - as of any other matrix
        return replace(self, turned=not self.turned)

    def __matmul__(self, x: Ints) -> Ints:
        if self.few:
            return self.written @ x
        multiplied = self.places.back if self.turned else self.places.image
        return multiplied(self.numbers.reshape(self.places.groups, -1, self.places.terms), x)

    @property
    def few(self) -> bool:
        """Whether its products are few."""
        return int(np.count_nonzero(self.there)) * math.prod(self.places.shape[1:]) <= FEW

    @property
    def gain(self) -> int:
        return self._gain

    @cached_property
    def _gain(self) -> int:
        sizes = replace(self, numbers=np.abs(self.numbers)) @ np.ones((self.shape[1], 1))
        return int(np.max(sizes, initial=0))

    @cached_property
    def written(self) -> csr_array:
        """The same matrix with all of its products."""
        made = self.places.numbers(self.there)
        made = csr_array((self.numbers.ravel()[made.data], made.indices, made.indptr), made.shape)
        return csr_array(made.T) if self.turned else made


@dataclass(frozen=True)
class Products:
    """A part: a kernel of integers with exponent ``e``, at its places.

    Of each number of the kernel (O, I / groups, kh, kw): ``off`` is 1 or 0, whether it is inexact;
    ``rounds`` how often the product may round besides the sums that it enters; ``there`` whether
    it is one at all.
    """

    source: str
    places: Places
    kernel: Ints
    e: int
    off: Ints
    rounds: Ints
    there: NDArray[np.bool_]

    @cached_property
    def core(self) -> Kernel:
        """The integers as a matrix (units, units read)."""
        return self._matrix(self.kernel)

    @cached_property
    def heaviest(self) -> Kernel:
        """Upper bounds of the magnitudes of the true weights."""
        return self._matrix(np.abs(self.kernel) + self.off)

    @cached_property
    def left_out(self) -> Kernel:
        """How far a true weight may be from its integer."""
        return self._matrix(self.off)

    @cached_property
    def reading(self) -> Kernel:
        """Ones where there is a product."""
        return self._matrix(self.there.astype(np.float64))

    @cached_property
    def in_rows(self) -> tuple[Units, Ints, Ints]:
        """Of each number that is made, its products (O, n) first to last, and others that are 0.

        Where in a row of the kernel they stand, the true weights' magnitudes, and ``rounds``.
        """
        size = self.heaviest.numbers.reshape(len(self.kernel), -1)
        most = np.max(np.count_nonzero(size, axis=1), initial=0)
        first: Units = np.argsort(size == 0, axis=1, kind="stable")[:, :most]
        rounds = np.take_along_axis(self.rounds.reshape(size.shape), first, axis=1)
        return first, np.take_along_axis(size, first, axis=1), rounds

    def _matrix(self, numbers: Ints) -> Kernel:
        return Kernel(self.places, numbers, self.there)

    @property
    def w(self) -> csr_array:
        """The core, written out; so are the next three, in its order."""
        return self.core.written

    @property
    def heavy(self) -> csr_array:
        return self.heaviest.written

    @cached_property
    def inexact(self) -> Ints:
        return self.left_out.written.data

    @cached_property
    def roundings(self) -> Ints:
        return self._matrix(self.rounds).written.data

    def matrix(self, values: Ints) -> csr_array:
        """The matrix with other numbers in the places of its weights."""
        return csr_array((values, self.w.indices, self.w.indptr), self.w.shape)


def pieces(rows: int, numbers: int) -> Iterator[slice]:
    """Rows, each of so many numbers: a block at a time."""
    step = max(1, BLOCK // max(1, numbers))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def places_of(part: Part, shape: Shape, source: Shape) -> Places:
    """Where a part's kernel lies."""
    seen = source if part.view is None else part.view.shape
    found = list[Units]()
    for axis in (0, 1):
        count: int = part.weight.shape[2 + axis]
        first: Units = np.arange(shape[1 + axis]) * part.strides[axis] - part.pads[axis]
        at = first + np.arange(count)[:, None]
        found.append(np.where((at >= 0) & (at < seen[1 + axis]), at, -1))
    down, across = found
    picked = None if part.view is None else _picked(part.view, math.prod(source))
    return Places(shape, seen, part.groups, down, across, math.prod(source), picked)


def _picked(view: View, units: int) -> csr_array | None:
    """What a view shows (units seen, units): ones, and nothing where it has no unit."""
    if view.order is None:
        return None
    there = view.order >= 0
    ends = np.concatenate([[0], np.cumsum(there)])
    return csr_array((np.ones(ends[-1]), view.order[there], ends), (view.order.size, units))


def _through(made: csr_array, picked: csr_array) -> csr_array:
    """The products with what a view shows: those with what it has no unit for are none."""
    each = np.diff(picked.indptr)
    there = each[made.indices] > 0
    read = picked.indices[picked.indptr[made.indices[there]]]
    unit = np.repeat(np.arange(made.shape[0]), np.diff(made.indptr))
    ends = np.concatenate([[0], np.cumsum(np.bincount(unit[there], minlength=made.shape[0]))])
    return csr_array((made.data[there], read, ends), (made.shape[0], picked.shape[1]))
