"""What is asked: which inputs, how far they may move, in which executions.

A question is data. Nothing else in the checker knows of bytes, of pixels, or of steps of 1. A place
is one number of the input: one pixel of one channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints, from_float, total
from lastbit_check.network import Shape
from lastbit_check.operators.forms import Bound, Value

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


@dataclass(frozen=True)
class Question:
    """All images of bytes; the byte of one place changes in its last bit, or none does.

    ``step`` is how far it moves: 1, or 0 where both runs are on one image. ``pixels`` are the steps
    in which a pixel is made of a byte before the network reads it. With a ``box`` there are no
    bytes: the network reads numbers of binary32, of which one moves in its own last bit.
    """

    name: str
    step: int
    pixels: tuple[Step, ...] = ()
    box: Box | None = None

    def image(self, shape: Shape) -> Value:
        """Ranges of the input (C, H, W, 1). It does not round."""
        return self.between(*self.whole(shape))

    def places(self, shape: Shape) -> int:
        """How many places there are."""
        return math.prod(shape) if self.step else 1

    def moves(self, shape: Shape, places: range) -> Bound:
        """How far the input moves (C, H, W, K), for each of some places."""
        columns = np.zeros((math.prod(shape), len(places)))
        if self.step:
            columns[places, range(len(places))] = self.step
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
        return bool(self.step) and threshold % 2 == 0

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The bytes between which a place moves."""
        return [(k, k + self.step) for k in range(0, BYTES, 2)] if self.step else []

    @property
    def distance(self) -> Fraction:
        """How far it moves, at most."""
        return self.box.step * self.step if self.box else Fraction(self.step)


LAST_BIT = Question("last-bit", 1)
ONE_IMAGE = Question("one-image", 0)


def of_one_image(question: Question) -> Question:
    """The question of two runs on one image, of the same inputs."""
    return replace(ONE_IMAGE, pixels=question.pixels, box=question.box)


STEPS = ("Add", "Div", "Mul", "Sub")
