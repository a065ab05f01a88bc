"""What is asked: which inputs, how far they may move, in which executions.

A question is data. Nothing else in the checker knows of bytes, of pixels, or of steps of 1. A place
is one number of the input: one pixel of one channel. A *cell* is what moves at a time: a place, or
all places of a pixel.

Map: question <- neighbour_image; a definition
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints, from_float, total
from lastbit_check.network import Shape
from lastbit_check.operators.forms import Bound, Value
from lastbit_check.verdict import require

ANY_TWO, SAME_PROGRAM = "any-two", "same-program"
EXECUTIONS = (ANY_TWO, SAME_PROGRAM)
BYTES = 256
SIGNIFICANT = 24  # bits of a binary32 number
LEAST_EXPONENT = -149  # all are multiples of 2^LEAST_EXPONENT


class Step(NamedTuple):
    """One operation in binary32, with one constant or one for each channel: Div, Sub, Mul, Add."""

    op: str
    constants: tuple[float, ...]


class Box(NamedTuple):
    """Inputs are binary32 numbers from ``low`` to ``high``, which are two of them."""

    low: float
    high: float

    @property
    def step(self) -> Fraction:
        """How far two of them are apart at most, if they differ in the last bit of their form."""
        size, exponent = math.frexp(max(abs(self.low), abs(self.high)))
        exponent -= size == 0.5
        return Fraction(2) ** max(exponent - SIGNIFICANT, LEAST_EXPONENT)


class Move(NamedTuple):
    """What may differ between the two images of a pair.

    In each of up to ``cells`` cells a byte changes ``by`` its bit number ``size`` ("bit"), by up to
    ``size`` grey levels ("levels"), or not at all ("nothing": both runs are on one image). A cell
    is a place (``channels`` "one"), or a pixel ("all"), of whose places each may move so. ``mask``
    holds runs (first, end) of the cells that may; all may where there are none.
    """

    by: str = "bit"
    size: int = 0
    cells: int = 1
    channels: str = "one"
    mask: tuple[tuple[int, int], ...] = ()

    @property
    def known(self) -> bool:
        """Whether it is one, in the only way to write it but for the number of cells there are."""
        least, most = {"bit": (0, 7), "levels": (1, BYTES - 1)}.get(self.by, (1, 0))
        ends = [-1, *(end for run in self.mask for end in run)]
        apart = all(a < b for a, b in pairwise(ends))
        right = least <= self.size <= most and self.cells >= 1 and apart
        return right and self.channels in ("one", "all")

    @property
    def told(self) -> str:
        """For people."""
        what = {"one": "place", "all": "pixel"}[self.channels] + "s" * (self.cells > 1)
        often = "one" if self.cells == 1 else f"up to {self.cells}"
        some = f", of {sum(end - first for first, end in self.mask)} that may" if self.mask else ""
        each = {"one": "one channel of a pixel", "all": "any or all of its channels"}[self.channels]
        last = "the last bit" if self.size == 0 else f"bit {self.size}"
        how = f"by up to {self.size} grey levels" if self.by == "levels" else f"in {last}"
        return f"{often} {what}{some} ({each}), {how}"


ITS_LAST_BIT = Move()


@dataclass(frozen=True)
class Question:
    """All images of bytes; the bytes of some change as ``move`` says.

    ``pixels`` are the steps in which a pixel is made of a byte before the network reads it. With a
    ``box`` there are no bytes: the network reads numbers of binary32, which move in their own last
    bit.
    """

    name: str
    move: Move = ITS_LAST_BIT
    pixels: tuple[Step, ...] = ()
    box: Box | None = None

    @property
    def step(self) -> int:
        """How far a byte moves at most; 0 where both runs are on one image."""
        return {"bit": 2**self.move.size, "levels": self.move.size}.get(self.move.by, 0)

    def cells(self, shape: Shape) -> NDArray[np.intp]:
        """The numbers of the places that move together (cells, places of each)."""
        places = np.arange(math.prod(shape))
        whole = self.move.channels == "all"
        every = places.reshape(shape[0], -1).T if whole else places[:, None]
        some = [every[first:end] for first, end in self.move.mask]
        return np.concatenate(some) if some else every

    def fits(self, shape: Shape) -> None:
        """Rule question.cells: the input has the cells that it speaks of, and so many of them."""
        most = math.prod(shape[1 if self.move.channels == "all" else 0 :])
        runs, chosen = self.move.mask, len(self.cells(shape))
        right = not runs or (runs[-1][1] <= most and chosen < most)
        require(right, "question.cells", f"a mask that is not for {most} places or pixels")
        enough = self.move.cells <= chosen
        require(enough, "question.cells", f"{self.move.cells} move, and {chosen} may")

    def image(self, shape: Shape) -> Value:
        """Ranges of the input (C, H, W, 1). It does not round."""
        return self.between(*self.whole(shape))

    def places(self, shape: Shape) -> int:
        """How many cells there are of which one moves; 1 where none does."""
        return len(self.cells(shape)) if self.step else 1

    def moves(self, shape: Shape, places: range) -> Bound:
        """How far the input moves (C, H, W, K), where each of some cells does by itself."""
        columns = np.zeros((math.prod(shape), len(places)))
        if self.step:
            cells = self.cells(shape)[places.start : places.stop]
            columns[cells.T, range(len(places))] = self.step
        columns = columns.reshape(*shape, -1)
        e = 1 - math.frexp(float(self.distance or 1))[1] if self.box else 0
        return Bound(Fix(columns, e), Fix(0 * columns, ZERO_GRID))

    def whole(self, shape: Shape) -> tuple[Ints, Ints]:
        """The least and the largest number at every place."""
        low, high = self.box or (0.0, BYTES - 1.0)
        return np.full(shape, low), np.full(shape, high)

    def between(self, low: Ints, high: Ints) -> Value:
        """Ranges of inputs from ``low`` to ``high``, as `image` for all."""
        none = Fix(np.zeros((*low.shape, 1)), ZERO_GRID)
        if not self.box:
            return Value(Fix((low + high)[..., None], 1),
                         Bound(Fix((high - low)[..., None], 1), none), none)  # fmt: skip
        ends = [from_float(end[..., None], SIGNIFICANT) for end in (low, high)]
        (least, off), (most, more) = ends
        c = total(Fix(least.n, least.e + 1), Fix(most.n, most.e + 1), up=False)
        slack = Fix(np.full(c.n.shape, 2.0), c.e)
        rounded = total(Fix(off, least.e), Fix(more, most.e))
        wide = total(Fix(most.n, most.e + 1), Fix(-least.n, least.e + 1), slack, rounded)
        return Value(c, Bound(wide, none), none)

    def splits_pair(self, threshold: int) -> bool:
        """Whether one of two inputs that differ at a place may be at most this, the other more."""
        return any(k <= threshold < j for k, j in self.pairs)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of bytes: each move of a place leads along one of them, or along several."""
        if self.move.by == "levels":
            return [(k, k + 1) for k in range(BYTES - 1)]
        return [(k, k + self.step) for k in range(BYTES) if self.step and not k & self.step]

    @property
    def distance(self) -> Fraction:
        """How far it moves, at most."""
        return self.box.step * self.step if self.box else Fraction(self.step)


LAST_BIT = Question("last-bit")
ONE_IMAGE = Question("one-image", Move("nothing"))


def asking(move: Move, pixels: tuple[Step, ...] = (), box: Box | None = None) -> Question:
    """The question by its name: that of the last bit of one place has one of its own."""
    name = LAST_BIT.name if move == LAST_BIT.move else "moves"
    return Question(name, move, pixels, box)


def of_one_image(question: Question) -> Question:
    """The question of two runs on one image, of the same inputs."""
    return replace(ONE_IMAGE, pixels=question.pixels, box=question.box)


STEPS = ("Add", "Div", "Mul", "Sub")
