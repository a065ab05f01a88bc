"""What follows of a difference of two logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from lastbit_check.around.binary64 import F64, gamma, upper
from lastbit_check.around.linear import Weights
from lastbit_check.network import Network
from lastbit_check.norms.apart import MOST_NUMBERS, Apart, Moved, apart
from lastbit_check.norms.followed import Followed, follow
from lastbit_check.norms.steps import Through
from lastbit_check.question import EXECUTIONS, SAME_PROGRAM, Question

WIDER = 1 + 2.0**-40  # more than a root and a product are off by


def differences(found: Followed, moved: Apart) -> F64:
    """Upper bounds of |D_c - D_j| of two logits, for all pairs of classes (classes, classes)."""
    network = found.network
    logits, step = network.by_name[network.logits], found.steps[network.logits]
    classes, size = logits.shape[0], moved.sizes[network.logits]
    least = np.minimum(size.units + size.units[:, 0], math.sqrt(2) * WIDER * size.total)
    if not isinstance(step, Through) or not all(_plain(step, k) for k in range(len(step.parts))):
        return upper(least)
    rounded = moved.rounded[logits.name].units
    noise, read = rounded + rounded[:, 0], [moved.last[name] for name in logits.inputs]
    if classes**2 * max(x.rest.units.shape[1] for x in read) > MOST_NUMBERS:
        read = [moved.last[n].worst(network.by_name[n].shape) for n in logits.inputs]
    made = np.zeros((classes, classes, 1))
    for part, x in zip(step.parts, read, strict=True):
        made = made + _by_rows(part, x)
    return upper(np.minimum(least, np.max(made, axis=2) + noise))


def _by_rows(part: Weights, x: Moved) -> F64:
    """What two rows of a dense layer make of a deviation, apart (classes, classes, K)."""
    w = part.kernel[:, :, 0, 0]
    rows = np.abs(w[:, None] - w)
    rows = upper(rows + (part.off + 2.0**-50) * (np.abs(w)[:, None] + np.abs(w)))
    by_all = upper(np.sqrt(upper(np.sum(np.square(rows), axis=2))))[:, :, None] * x.rest.total
    made = np.minimum(upper(by_all), upper(rows @ x.rest.channels))
    if x.c is None:
        return made
    c = w @ x.c
    lost = (gamma(len(x.c)) + part.off) * part.heaviest * np.max(np.abs(x.c), axis=0)
    return upper(made + np.abs(c[:, None] - c) + upper(2 * lost + 2.0**-50 * np.max(np.abs(c))))


def _plain(step: Through, k: int) -> bool:
    """Whether a part is a dense layer of a vector."""
    sizes = step.parts[k].kernel.shape[2:], step.node.shape[1:]
    return sizes == ((1, 1), (1, 1)) and step.counts[k] == 1 and step.views[k] is None


@dataclass(frozen=True)
class ByNorms:
    """A network by norms, and how far two executions are apart, by executions."""

    found: Followed
    moved: Mapping[str, Apart]

    def bounds(self, executions: str) -> F64:
        """Upper bounds of the change of every difference of two logits (classes, classes).

        Where several cells move, all links of a chain but the last are within one program.
        """
        links = self.found.question.move.cells - 1
        last, others = self._logits[executions], self._logits[SAME_PROGRAM]
        return upper(last + links * others) if links else last

    @cached_property
    def _logits(self) -> dict[str, F64]:
        return {name: differences(self.found, moved) for name, moved in self.moved.items()}

    @cached_property
    def worst(self) -> dict[str, tuple[Fraction, tuple[int, int]]]:
        """The largest of them, and its classes c < j, by executions."""
        found = dict[str, tuple[Fraction, tuple[int, int]]]()
        for name in EXECUTIONS:
            every = np.triu(self.bounds(name), 1)
            c, j = divmod(int(np.argmax(every)), len(every))
            found[name] = Fraction(float(every[c, j])), (c, j)
        return found


def by_norms(network: Network, question: Question) -> ByNorms:
    """All of it. Raises Rejected where a rule of ranges fails (finite.values, ...)."""
    found = follow(network, question)
    return ByNorms(found, {name: apart(found, name) for name in EXECUTIONS})
