"""Images of one label that are decided together, by the bound of their drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastbit.data import LabelledImages
from lastbit.float32.executor import execute_float64
from lastbit.graph import Network
from lastbit.questions.decisions import Decisions, Reached, Values


@dataclass
class _Set:
    """Images of one label, and what was reached when they were run, if they were."""

    label: int
    numbers: list[int]
    reached: Reached | None = None


class Sets:
    """Images that are right: what is decided of each, and sets of those that may be decided better.

    What is left of a set makes a smaller one, or two. Without decisions there are no sets.
    """

    def __init__(self, network: Network, decisions: Decisions | None, test: LabelledImages) -> None:
        self.network, self.decisions, self.test = network, decisions, test
        self.sets: list[_Set] = []
        self.logits: dict[int, NDArray[np.float64]] = {}
        self.levels = dict[int, int]()
        self.by_bound, self.by_set, self.by_image = 0, 0, list[int]()

    def run(self, number: int) -> tuple[Values, int]:
        """The values that an execution of an image has, and its label."""
        values = execute_float64(self.network, self.test.images[number], stored=True)[1]
        return values, int(self.test.labels[number])

    def add(self, number: int, values: Values, label: int) -> None:
        """Decide an image with these values, or put it into the first set of its label."""
        if self.decisions is None:
            self.levels[number] = 0
            return
        self.levels[number] = self.decisions.level(values, label)
        self.by_bound += self.levels[number] > 0
        if not self.open(number):
            return
        found = [s for s in self.sets if s.label == label] or [_Set(label, [], Reached())]
        if not found[0].numbers:
            self.sets.append(found[0])
        found[0].numbers.append(number)
        assert found[0].reached is not None
        found[0].reached.add(values)
        self.logits[number] = values[self.network.logits]

    def open(self, number: int) -> bool:
        """Whether a sharper drift bound could decide more."""
        assert self.decisions is not None
        return self.levels[number] < (1 if self.decisions.moved is None else 2)

    @property
    def waiting(self) -> int:
        """How many images are in sets."""
        return sum(len(some.numbers) for some in self.sets)

    def below(self, level: int) -> tuple[int, ...]:
        """The numbers of those that are decided less well."""
        return (*sorted(k for k, found in self.levels.items() if found < level),)

    def above(self, level: int) -> int:
        """How many are decided so well."""
        return sum(found >= level for found in self.levels.values())

    def decide(self) -> None:
        """Decide the images of one set; those that are left make a smaller set, or two."""
        assert self.decisions is not None
        some = self.sets.pop()
        reached = some.reached or Reached(*(self.run(k)[0] for k in some.numbers))
        changes = self.decisions.changes(reached, some.label)
        alone = len(some.numbers) == 1
        for k in some.numbers:
            values = {self.network.logits: self.logits[k]}
            level = self.decisions.level(values, some.label, changes)
            if level > 0 == self.levels[k]:
                self.by_set += not alone
                self.by_image += [k] * alone
            self.levels[k] = max(self.levels[k], level)
        left = [k for k in some.numbers if self.open(k)]
        if alone:
            return
        middle = len(left) if 2 * len(left) <= len(some.numbers) else len(left) // 2
        self.sets += [_Set(some.label, part) for part in (left[:middle], left[middle:]) if part]
