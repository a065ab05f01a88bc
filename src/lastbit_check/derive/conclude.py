"""From what each node adds to a difference of two logits to a change of probabilities.

Map: conclusion <- softmax_change, probabilities, exp-relative-2^-20, softmax-max-subtracted; argued
in PROOF.md 3.9
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import cast

import numpy as np
from scipy.sparse import csr_array

from lastbit_check.arithmetic.binary32 import UNIT
from lastbit_check.arithmetic.enclosure import tanh_upper
from lastbit_check.arithmetic.exact import Fix, Written, matmul_up, total
from lastbit_check.derive.changes import APART, EXACT
from lastbit_check.derive.derivation import Derivation
from lastbit_check.derive.ledger import DEFECT, REMAINDER, ROUNDING, both_runs, difference
from lastbit_check.derive.reach import Reach
from lastbit_check.question import ANY_TWO, SAME_PROGRAM

EXP_ERROR = Fraction(1, 2**20)


SPARSE = 8  # a mask of fewer ones than one in so many is kept sparse


@dataclass(frozen=True)
class Claim:
    """Upper bounds for some executions.

    ``upper`` bounds the change of a probability, ``logits`` that of any difference of two logits.
    ``worst`` is (class, class, cell). Where several cells move, it is the last link of a chain of
    images, of which the others are ``before``.
    """

    upper: Fraction
    logits: Fraction
    worst: tuple[int, int, int]
    before: tuple[int, ...] = ()


Exactly = Callable[[int, int], Fraction | None]
"""The first layers in real arithmetic: for a row of the ledger and a cell, if it is known."""


@dataclass(frozen=True)
class Balance:
    """What a derivation's ledger adds up to for some executions (pairs, places)."""

    derivation: Derivation
    executions: str

    @cached_property
    def early(self) -> Fix:
        """What the first layers add as separate units, without what is rounded."""
        return self._added(self._inside(self.executions))

    @cached_property
    def later(self) -> Fix:
        """What all other nodes add, without what is rounded."""
        ledger, first = self.derivation.ledger, self._first
        outside = self._names[len(first) :]
        return self._added(
            [
                *ledger.of(self.executions, REMAINDER, outside),
                *ledger.of(self.executions, DEFECT, [*first[-1:], *outside]),
            ]
        )

    @cached_property
    def off(self) -> Fix:
        """What the roundings of the first layers do through their slopes, in two runs."""
        errors = self._added(self._inside(EXACT if self.executions == ANY_TWO else APART))
        return Fix((2.0 if self.executions == ANY_TWO else 1.0) * errors.n, errors.e)

    @cached_property
    def everything(self) -> Fix:
        """Upper bounds of all that is added: every unit's rounding by itself."""
        alone = self.derivation.ledger.of(ANY_TWO, ROUNDING, self._names)
        return total(self.early, self.later, self._added(alone))

    @cached_property
    def _rows(self) -> dict[int, list[Fraction]]:
        return {}

    def roundings(self, row: int) -> list[Fraction]:
        """What the roundings that may differ do, for a pair of classes, by place."""
        if row not in self._rows:
            self._rows[row] = self._rounded(row)
        return self._rows[row]

    def node_roundings(self, row: int) -> dict[str, Fix]:
        """Likewise, each node's by itself (1, places) or (1, 1)."""
        d, found = self.derivation, dict[str, Fix]()
        pair = d.ledger.pairs[row]
        for name in self._names:
            noise, mask = both_runs(d.values[name].noise), self._reach.get(name)
            where = None
            if mask is not None:
                noise = Fix(noise.n * np.any(mask, axis=1, keepdims=True), noise.e)
                sparse = self._sparse.get(name)
                where = mask.astype(np.float64) if sparse is None else sparse
            a = difference(d.frame.duals[name], pair)
            found[name] = matmul_up(Fix(np.abs(a.n.T), a.e), noise, where)
        return found

    @cached_property
    def _reach(self) -> Mapping[str, Reach]:
        """Whose roundings differ, if not everywhere."""
        return self.derivation.reach if self.executions == SAME_PROGRAM else {}

    @cached_property
    def _sparse(self) -> dict[str, Written]:
        """The same where it is sparse."""
        return {
            name: cast("csr_array", csr_array(mask, dtype=np.float64))
            for name, mask in self._reach.items()
            if mask is not None and SPARSE * np.count_nonzero(mask) < mask.size
        }

    def bound(self, row: int, place: int, exact: Fraction | None) -> Fraction:
        """Of the change of a difference of two logits; ``exact`` of the first layers, if known."""
        least = self.early[row, place].largest()
        if exact is not None:
            least = min(least, exact + self.off[row, place].largest())
        return least + self.later[row, place].largest() + self.roundings(row)[place]

    def claim(self, exactly: Exactly) -> Claim:
        """For the pair of classes and the place where the bound is largest.

        From the largest sum down each is derived once more, with the first layers' exact form and
        with the roundings that differ, until no sum that is left is larger than the largest bound
        so far. Where several cells move, all of a chain but one do so within one program.
        """
        links = Balance(self.derivation, SAME_PROGRAM)
        sums = total(self.everything, links.others) if self._links else self.everything
        worst, most = (0, 0), Fraction(-1)
        for k in np.argsort(-sums.n, axis=None, kind="stable").tolist():
            row, place = divmod(k, sums.n.shape[1])
            if sums[row, place].largest() <= most:
                break
            rest = links.rest(row, place, exactly)
            if self._links and self.everything[row, place].largest() + rest <= most:
                continue
            bound = self.bound(row, place, exactly(row, place)) + rest
            if bound > most:
                worst, most = (row, place), bound
        pair = self.derivation.ledger.pairs[worst[0]]
        before = [one for one in links.largest(worst[0], exactly) if one != worst[1]]
        upper = of_probabilities(most, self.derivation.frame.network.classes)
        return Claim(upper, most, (*pair, worst[1]), (*before[: self._links],))

    @property
    def others(self) -> Fix:
        """What the largest links of a chain but one add at most, before `bound` (pairs, 1)."""
        each = self.everything.fit(30)
        n = np.sort(each.n, axis=1)[:, -self._links :]
        return Fix(np.sum(n, axis=1, keepdims=True), each.e)

    def rest(self, row: int, place: int, exactly: Exactly) -> Fraction:
        """The largest bounds of other cells than that one, as many as move beside it, added up."""
        links = self.largest(row, exactly)
        if not links:
            return Fraction(0)
        if row not in self._whole:
            self._whole[row] = sum(links.values(), Fraction(0))
        return self._whole[row] - links.get(place, [*links.values()][-1])

    def largest(self, row: int, exactly: Exactly) -> dict[int, Fraction]:
        """The largest bounds of a pair of classes by cell, from the largest down.

        As many as may move; none where but one may.
        """
        if row not in self._chains and self._links:
            found = list[tuple[Fraction, int]]()
            for place in np.argsort(-self.everything.n[row], kind="stable").tolist():
                least = found[self._links][0] if len(found) > self._links else Fraction(-1)
                if self.everything[row, place].largest() <= least:
                    break
                found.append((self.bound(row, place, exactly(row, place)), place))
                found = sorted(found, reverse=True)[: self._links + 1]
            self._chains[row] = {place: bound for bound, place in found}
        return self._chains.get(row, {})

    @cached_property
    def _chains(self) -> dict[int, dict[int, Fraction]]:
        return {}

    @cached_property
    def _whole(self) -> dict[int, Fraction]:
        return {}

    @property
    def _links(self) -> int:
        """How many cells move beside one."""
        return self.derivation.frame.question.move.cells - 1

    @property
    def _names(self) -> list[str]:
        return [node.name for node in self.derivation.frame.network.computed]

    @property
    def _first(self) -> list[str]:
        return [node.name for node in self.derivation.frame.early]

    @property
    def _places(self) -> int:
        frame = self.derivation.frame
        return frame.question.places(frame.network.input.shape)

    def _inside(self, aspect: str) -> list[Fix]:
        ledger, first = self.derivation.ledger, self._first
        return [*ledger.of(aspect, REMAINDER, first), *ledger.of(aspect, DEFECT, first[:-1])]

    def _added(self, parts: list[Fix]) -> Fix:
        shape = (len(self.derivation.ledger.pairs), self._places)
        found = total(*parts, bits=40)  # most parts are of all places alike
        return Fix(np.broadcast_to(found.n, shape), found.e)

    def _rounded(self, row: int) -> list[Fraction]:
        found, pair = self.node_roundings(row), self.derivation.ledger.pairs[row]
        caps = [cap for cap in self.derivation.caps
                if cap.pair == pair and self.executions in cap.executions]  # fmt: skip
        alone = found.keys() - {name for cap in caps for name in cap.nodes}
        sums = _by_place([found[name] for name in sorted(alone)], self._places)
        for cap in caps:
            each = _by_place([found[name] for name in sorted(cap.nodes)], self._places)
            sums = [a + min(b, cap.most) for a, b in zip(sums, each, strict=True)]
        return sums


def _by_place(parts: list[Fix], places: int) -> list[Fraction]:
    if not parts:
        return [Fraction(0)] * places
    whole = total(*parts, bits=40)
    return [Fraction(int(n)) / Fraction(2) ** whole.e for n in np.broadcast_to(whole.n[0], places)]


def of_probabilities(logits: Fraction, classes: int) -> Fraction:
    """Of the change of a probability, from that of any difference of two logits."""
    return min(Fraction(1), tanh_upper(logits / 4) + 2 * softmax_error(classes))


def nothing_moves(derivation: Derivation) -> Claim:
    """Where no move of the input reaches an answer."""
    return Claim(Fraction(0), Fraction(0), (*derivation.ledger.pairs[0], 0))


def softmax_error(classes: int) -> Fraction:
    """|computed softmax - softmax| of the computed logits (docs/bound.md, section 5).

    With theta = error of one exponential relative to the largest, (u/e)(1 + 2^-10) + 2^-20, and at
    most 2n roundings: 1.1 ((n + 1) theta + (2n + 1) u).
    """
    theta = UNIT / 2 + EXP_ERROR
    return Fraction(11, 10) * ((classes + 1) * theta + (2 * classes + 1) * UNIT)
