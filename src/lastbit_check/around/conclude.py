"""What follows at an image: of differences of logits, of probabilities, of the label."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary64 import F64, gamma, upper
from lastbit_check.arithmetic.enclosure import exp_bounds
from lastbit_check.around.linear import Prepared
from lastbit_check.around.walk import Walk
from lastbit_check.derive.conclude import softmax_error

FAR = Fraction(600)  # a margin beyond it is taken for it
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


def margins(prepared: Prepared, found: Walk, moves: object) -> Margins:
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
    move = sum(block.along(duals[name]) for block in moves.values()) + np.zeros(len(others))
    off = upper(total + 2.0**-30 * middles)
    centre = tuple(
        Fraction(float(logits[label])) - Fraction(float(logits[j])) + Fraction(float(shift))
        for j, shift in zip(others, middle, strict=True)
    )
    missing = found.near[name].radius @ missed[name]
    return Margins(label, others, centre, off, upper(move + missing), rounding, bend)


@dataclass(frozen=True)
class AtImage:
    """What holds of two executions, one on the image, one on it or on what it may move to.

    No probability differs by more than ``upper``, and no difference of the label's logit and
    another by more than ``logits``. Every one of them says ``label``, if it is ``decided``.
    """

    label: int
    decided: bool
    upper: Fraction
    logits: Fraction


def concluded(near: Margins) -> AtImage:
    """From bounds of the margins: probabilities are monotonic in each of them."""
    off, move = ([Fraction(float(x)) for x in of] for of in (near.off, near.move))
    first = [(c - r, c + r) for c, r in zip(near.centre, off, strict=True)]
    second = [(low - d, high + d) for (low, high), d in zip(first, move, strict=True)]
    error = softmax_error(len(near.others) + 1)
    still, moved = _probabilities(first), _probabilities(second)
    changes = [max(b[1] - a[0], a[1] - b[0]) for a, b in zip(still, moved, strict=True)]
    ahead = all(low > 0 for low, _ in second)
    decided = ahead and all(moved[0][0] - high > 2 * error for _, high in moved[1:])
    logits = max(2 * r + d for r, d in zip(off, move, strict=True))
    return AtImage(near.label, decided, min(Fraction(1), max(changes) + 2 * error), logits)


def _probabilities(margins: list[tuple[Fraction, Fraction]]) -> list[tuple[Fraction, Fraction]]:
    """Between which numbers each is, the label's first: 1 / (1 + sum exp(-m_j)) is the label's."""
    least = [exp_bounds(-max(-FAR, min(high, FAR)))[0] for _, high in margins]
    most = [exp_bounds(-max(-FAR, min(low, FAR)))[1] for low, _ in margins]
    found = [(1 / (1 + sum(most)), 1 / (1 + sum(least)))]
    for j in range(len(margins)):
        low = least[j] / (1 + least[j] + sum(most) - most[j])
        found.append((low, most[j] / (1 + most[j] + sum(least) - least[j])))
    return found
