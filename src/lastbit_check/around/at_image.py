"""What holds at an image: how far apart any two executions are, there and where it moves.

Map: at-image; argued in PROOF.md 6
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lastbit_check.around.binary64 import F64, exp_negative, upper
from lastbit_check.around.columns import Block
from lastbit_check.around.conclude import Margins, margins
from lastbit_check.around.linear import Prepared
from lastbit_check.around.near import Near
from lastbit_check.around.walk import walk
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.network import Shape
from lastbit_check.question import BYTES, Question
from lastbit_check.verdict import Rejected, require

FAR = 600.0  # of a margin: exp of a larger one is not looked at
NOTHING = 2.0**127  # of a difference of logits: no bound is known
MOST_NEIGHBOURS = 2**12  # that are looked at one by one
GROWN = 2.0**-40  # more than exp, and a few sums of positive numbers, are off by


@dataclass(frozen=True)
class AtImage:
    """What holds of executions on an image, and on those that it may move to.

    No probability of two executions on the image differs by more than ``drift``; of one on it and
    one on what it may move to, by ``upper``, and no difference of the label's logit and another by
    more than ``logits`` (1 and `NOTHING` where no bound is known). The answer is ``label``: 2 where
    it is ``decided`` for all of them, 1 for those on the image, else 0.
    """

    label: int
    decided: int
    drift: float
    upper: float
    logits: float


def at_image(prepared: Prepared, image: F64, question: Question, bases: frozenset[str]) -> AtImage:
    """What holds at an image (units,), and at what it may move to.

    Neighbours by one place are looked at one by one, if they are few; else what the input may
    differ by goes through the network as columns. Where that says nothing of the answer, the image
    is looked at by itself.

    Raises:
        Rejected: nothing follows there (rules around.*, finite.values, ...).
    """
    shape, none = prepared.network.input.shape, np.zeros(image.size)
    near = neighbours(image, question, shape)
    blocks = {} if near.size else {prepared.network.input.name: moves_of(question, shape)}
    still = Near(image, np.zeros((image.size, 0)), {}, none, none)
    try:
        found = walk(prepared, Near(image, near, blocks, none, none), bases)
        moved = margins(prepared, found)
        one = concluded(moved, moved)
        if one.decided:
            return one
        return concluded(margins(prepared, walk(prepared, still, bases)), moved)
    except Rejected:
        here = margins(prepared, walk(prepared, still, bases))
        one = concluded(here, here)
        return AtImage(one.label, min(one.decided, 1), one.drift, 1.0, NOTHING)


def neighbours(image: F64, question: Question, shape: Shape) -> F64:
    """What neighbours by one place differ by (units, neighbours), exactly; none if many."""
    cells, move = question.cells(shape), question.move
    each = {"levels": 2 * move.size, "nothing": MOST_NEIGHBOURS}.get(move.by, 1)
    if move.cells > 1 or cells.shape[1] > 1 or each * len(cells) > MOST_NEIGHBOURS:
        return np.zeros((image.size, 0))
    found = list[F64]()
    for other in _changed(image, question):
        made = np.zeros((image.size, len(cells)))
        places = cells[:, 0]
        made[places, range(len(cells))] = (other - image)[places]
        found.append(made)
    return np.concatenate(found, axis=1)


def _changed(image: F64, question: Question) -> list[F64]:
    """Images of which each place is one that it may move to by itself; itself where it may not."""
    if question.box:
        single = image.astype(np.float32).view(np.int32) ^ 1
        made = [single.view(np.float32).astype(np.float64)]
        low, high = question.box
    else:
        low, high, size = 0, BYTES - 1, question.move.size
        bit = (image.astype(np.int64) ^ (1 << size)).astype(np.float64)
        steps = range(1, size + 1) if question.move.by == "levels" else ()
        made = [image + sign * step for step in steps for sign in (1, -1)] or [bit]
    return [np.where((low <= x) & (x <= high), x, image) for x in made]


def moves_of(question: Question, shape: Shape) -> Block:
    """What the input may differ by: a few places, each by as much as it may move."""
    places = question.cells(shape)
    columns = np.zeros((math.prod(shape), places.size), np.float32)
    columns[places.ravel(), range(places.size)] = float(question.distance)
    return Block(columns, 1, question.move.cells * places.shape[1])


def concluded(still: Margins, moved: Margins) -> AtImage:
    """From the margins on the image, and on what it may move to."""
    error = float(softmax_error(len(still.off) + 1)) * (1 + GROWN)
    a = _around(still.centres[:, :1], still.off)
    columns = moved.centres[:, 1:] if moved.centres.shape[1] > 1 else moved.centres
    b = _around(columns, upper(moved.off + moved.move))
    of_a, of_b = _probabilities(*a), _probabilities(*b)
    here, there = _ahead(a[0], of_a, error), _ahead(b[0], of_b, error)
    logits = float(upper(_apart(a, b)))
    drift, most = (min(1.0, float(upper(_apart(of_a, of_x) + 2 * error))) for of_x in (of_a, of_b))
    return AtImage(still.label, int(here) + int(here and there), drift, most, logits)


Ranges = tuple[F64, F64]
"""Least and largest numbers (classes, images)."""


def _around(centres: F64, off: F64) -> Ranges:
    away = upper(off)[:, None] + np.abs(centres) * 2.0**-50
    return centres - away, centres + away


def _apart(a: Ranges, b: Ranges) -> F64:
    """How far a number in the one column of a may be from one in any column of b."""
    return np.max(np.maximum(b[1] - a[0], a[1] - b[0]))


def _ahead(margins: F64, probabilities: Ranges, error: float) -> bool:
    """Whether the label's logit and its computed probability are the largest."""
    others = np.max(probabilities[1][1:], axis=0)
    surely = probabilities[0][0] * (1 - GROWN) > (others + 2 * error) * (1 + GROWN)
    return bool(np.all(margins > 0) and np.all(surely))


def _probabilities(low: F64, high: F64) -> Ranges:
    """Of the label, then of the others, from their margins; each is monotonic in every margin.

    The label's is 1 / (1 + sum exp(-m_j)), another's exp(-m_j) times it.
    """
    require(np.all(low > -FAR), "around.radius", "a margin says nothing")
    most = _exp(np.minimum(low, FAR)) * (1 + GROWN)
    least = np.where(high < FAR, _exp(np.minimum(high, FAR)) * (1 - GROWN), 0.0)
    others = (1 + np.sum(most, axis=0), 1 + np.sum(least, axis=0))
    small = least / (least + np.maximum(others[0] - most, 1.0))
    large = most / (most + np.maximum(others[1] - least, 1.0))
    lowest = np.concatenate([1 / others[0][None], small]) * (1 - 4 * GROWN)
    return lowest, np.concatenate([1 / others[1][None], large]) * (1 + 4 * GROWN)


def _exp(margins: F64) -> F64:
    """exp(-m)."""
    near = exp_negative(np.abs(margins))
    return np.where(margins >= 0, near, 1 / near)
