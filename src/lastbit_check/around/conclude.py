"""What follows at an image: of differences of logits, of probabilities, of the label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary64 import F64, gamma, upper
from lastbit_check.arithmetic.enclosure import exp_bounds
from lastbit_check.around.columns import Block
from lastbit_check.around.linear import Prepared
from lastbit_check.around.walk import Walk, walk
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.network import Shape
from lastbit_check.question import Question

FAR = Fraction(600)  # of a margin: exp of a larger one is not looked at
Ranges = list[tuple[Fraction, Fraction]]
LONGEST = 2**16  # readers of one unit: more than any sum may have terms


@dataclass(frozen=True)
class Margins:
    """The label's logit less each other's (classes - 1,), near the reference's.

    In an execution on the image it is within ``off`` of ``centre``; on an image that the input may
    move to, within ``off`` + ``move``. ``rounding`` and ``bend`` are parts of ``off``.
    """

    label: int
    others: tuple[int, ...]
    centre: tuple[Fraction, ...]
    off: F64
    move: F64
    rounding: F64
    bend: F64

    def between(self, *, still: bool) -> Ranges:
        """The least and the largest margin of each, on the image or wherever it moves."""
        off = self.off if still else upper(self.off + self.move)
        away = [Fraction(float(r)) for r in off]
        return [(c - r, c + r) for c, r in zip(self.centre, away, strict=True)]


def moves_of(question: Question, shape: Shape) -> Block:
    """What the input may differ by: a few places, each by as much as it may move."""
    places = question.cells(shape)
    few = question.move.cells * places.shape[1]
    columns = np.zeros((math.prod(shape), places.size), np.float32)
    columns[places.ravel(), range(places.size)] = float(question.distance)
    return Block(columns, 1, few)


def _move(question: Question, shape: Shape, dual: F64) -> F64:
    """How far a move takes dual^T x (P,): by as many cells as may, those where it is most."""
    cells = question.cells(shape)
    each = np.sum(np.abs(dual)[cells], axis=1)
    most = -np.sort(-each, axis=0)[: question.move.cells]
    return upper(np.sum(most, axis=0) * float(question.distance))


def margins(prepared: Prepared, found: Walk, question: Question) -> Margins:
    """By dual vectors through the slopes: each thing that is added is counted by its own.

    With any numbers lambda of the nodes, lambda of the logits being the difference that is asked
    for, it is the sum over all nodes of lambda^T (what is added there) plus (lambda - what the
    readers' lambdas make of it)^T D. The latter is what float64 loses of lambda.
    """
    network = prepared.network
    logits = found.near[network.logits].value
    label = int(np.argmax(logits))
    others = tuple(j for j in range(logits.size) if j != label)
    of_logits = np.zeros((logits.size, len(others)))
    of_logits[label] = 1.0
    of_logits[others, range(len(others))] = -1.0
    duals, missed = {network.logits: of_logits}, {network.logits: np.zeros(of_logits.shape)}
    total, rounding, bend = (np.zeros(len(others)) for _ in range(3))
    middle, middles = np.zeros(len(others)), np.zeros(len(others))
    for node in reversed(network.computed[1:]):
        if node.name not in duals:
            continue
        dual, miss = duals.pop(node.name), missed.pop(node.name)
        step, size = found.steps[node.name], np.abs(dual)
        total += step.added @ size + found.near[node.name].radius @ miss
        rounding, bend = rounding + step.noise @ size, bend + step.bend @ size
        middle += step.middle @ dual
        middles += np.abs(step.middle) @ size
        for part in step.parts:
            made, off = part.back @ dual, gamma(LONGEST) * (part.size_back @ size)
            duals[part.source] = duals.get(part.source, 0.0) + made
            missed[part.source] = missed.get(part.source, 0.0) + off
    name = network.input.name
    move = _move(question, network.input.shape, duals[name])
    off = upper(total + 2.0**-30 * middles)
    centre = tuple(
        Fraction(float(logits[label])) - Fraction(float(logits[j])) + Fraction(float(shift))
        for j, shift in zip(others, middle, strict=True)
    )
    missing = found.near[name].radius @ missed[name]
    return Margins(label, others, centre, off, upper(move + missing), rounding, bend)


@dataclass(frozen=True)
class AtImage:
    """What holds of executions on an image, and on those that it may move to.

    No probability of two executions on the image differs by more than ``drift``; of one on it and
    one on what it may move to, by ``upper``, and no difference of the label's logit and another by
    more than ``logits``. The answer is ``label``: 2 where it is ``decided`` for all of them, 1 for
    those on the image, else 0.
    """

    label: int
    decided: int
    drift: Fraction
    upper: Fraction
    logits: Fraction


def at_image(
    prepared: Prepared, image: F64, question: Question, bases: frozenset[str]
) -> AtImage:
    """What holds at an image (units,), and at what it may move to.

    Raises:
        Rejected: nothing follows there (rules around.*, finite.values, ...).
    """
    network, found = prepared.network, list[Margins]()
    moves = {network.input.name: moves_of(question, network.input.shape)}
    for moving in ({}, moves):
        found.append(margins(prepared, walk(prepared, image, moving, bases), question))
    return concluded(*found)


def concluded(still: Margins, moved: Margins) -> AtImage:
    """From bounds of the margins on an image, and on those that it may move to."""
    error = softmax_error(len(still.others) + 1)
    a, b = still.between(still=True), moved.between(still=False)
    of_a, of_b = _probabilities(a), _probabilities(b)
    ahead = [_ahead(a, of_a, error), _ahead(a, of_a, error) and _ahead(b, of_b, error)]
    logits = max(max(q[1] - p[0], p[1] - q[0]) for p, q in zip(a, b, strict=True))
    drift, upper_bound = _apart(of_a, of_a, error), _apart(of_a, of_b, error)
    return AtImage(still.label, sum(ahead), drift, upper_bound, logits)


def _ahead(margins: Ranges, probabilities: Ranges, error: Fraction) -> bool:
    """Whether the label's logit and its computed probability are the largest."""
    least = probabilities[0][0] - 2 * error
    return all(low > 0 for low, _ in margins) and all(least > high for _, high in probabilities[1:])


def _apart(a: Ranges, b: Ranges, error: Fraction) -> Fraction:
    """How far computed probabilities in these ranges may be apart."""
    changes = [max(q[1] - p[0], p[1] - q[0]) for p, q in zip(a, b, strict=True)]
    return min(Fraction(1), max(changes) + 2 * error)


def _probabilities(margins: Ranges) -> Ranges:
    """Between which numbers each is, the label's first; each is monotonic in every margin m_j.

    The label's is 1 / (1 + sum exp(-m_j)), another's exp(-m_j) times it.
    """
    if any(low < -FAR for low, _ in margins):
        return [(Fraction(0), Fraction(1))] * (1 + len(margins))
    least = [exp_bounds(-high)[0] if high < FAR else Fraction(0) for _, high in margins]
    most = [exp_bounds(-min(low, FAR))[1] for low, _ in margins]
    found = [(1 / (1 + sum(most)), 1 / (1 + sum(least)))]
    for j, (small, large) in enumerate(zip(least, most, strict=True)):
        others = sum(most) - most[j], sum(least) - least[j]
        found.append((small / (1 + small + others[0]), large / (1 + large + others[1])))
    return found
