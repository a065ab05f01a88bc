"""What is asked: which inputs, how far they may move, in which executions.

A question is data. Nothing else in the checker knows of bytes, of pixels, or of steps of 1. A place
is one number of the input: one pixel of one channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints
from lastbit_check.network import Shape
from lastbit_check.operators.forms import Bound, Value

ANY_TWO, SAME_PROGRAM = "any-two", "same-program"
EXECUTIONS = (ANY_TWO, SAME_PROGRAM)
BYTES = 256


@dataclass(frozen=True)
class Question:
    """All images of bytes; the byte of one place changes in its last bit, or none does.

    ``step`` is how far it moves: 1, or 0 where both runs are on one image.
    """

    name: str
    step: int

    def image(self, shape: Shape) -> Value:
        """Ranges of the input (C, H, W, 1): centre 127.5, radius 127.5. A byte does not round."""
        wide = Fix(np.full((*shape, 1), BYTES - 1.0), 1)
        none = Fix(np.zeros((*shape, 1)), ZERO_GRID)
        return Value(wide, Bound(wide, none), none)

    def places(self, shape: Shape) -> int:
        """How many places there are."""
        return math.prod(shape) if self.step else 1

    def moves(self, shape: Shape, places: range) -> Bound:
        """How far the input moves (C, H, W, K), for each of some places."""
        columns = np.zeros((math.prod(shape), len(places)))
        if self.step:
            columns[places, range(len(places))] = self.step
        columns = columns.reshape(*shape, -1)
        return Bound(Fix(columns, 0), Fix(0 * columns, ZERO_GRID))

    def whole(self, shape: Shape) -> tuple[Ints, Ints]:
        """The least and the largest number at every place."""
        return np.zeros(shape), np.full(shape, BYTES - 1.0)

    def between(self, low: Ints, high: Ints) -> Value:
        """Ranges of inputs from ``low`` to ``high``, as `image` for all."""
        none = Fix(np.zeros((*low.shape, 1)), ZERO_GRID)
        return Value(Fix((low + high)[..., None], 1), Bound(Fix((high - low)[..., None], 1), none),
                     none)  # fmt: skip

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
        return Fraction(self.step)


LAST_BIT = Question("last-bit", 1)
ONE_IMAGE = Question("one-image", 0)
QUESTIONS = {question.name: question for question in (LAST_BIT, ONE_IMAGE)}
