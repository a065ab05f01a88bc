"""Branch and bound over the bytes that the first layers read: the trees of a certificate.

Which bounds hold is the checker's to say (`lastbit_check.refine.first_layers`): here is chosen what
to split. The pair of classes and the pixel with the largest bound are opened first, and of them the
worst part is split next, at the byte and the threshold that leave the least; another pixel or pair
is opened only when it has become the worst. It can be stopped at any time, and goes on from any
tree.
"""

from __future__ import annotations

import heapq
import itertools
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from lastbit.progress import Progress, silent
from lastbit_check.arithmetic.exact import Fix, Ints
from lastbit_check.certificate import Tree
from lastbit_check.check import exact_form
from lastbit_check.derive.conclude import Balance, Claim
from lastbit_check.derive.derivation import Derivation
from lastbit_check.derive.ledger import difference
from lastbit_check.operators.kernels import Products
from lastbit_check.question import EXECUTIONS
from lastbit_check.refine.first_layers import LEAF, FirstLayers, first_layers

BYTES, SHARES = 4, (1 / 2, 1 / 32)
"""How many bytes are tried for a split, and where in their intervals."""

Report = Callable[[Tree, Fraction, int], None]
"""Told of a tree, its bound and how many leaves it has, whenever these are twice as many."""


@dataclass(frozen=True)
class Branching:
    """How much branching there may be.

    Attributes:
        leaves: of all trees together, the tree of one leaf included.
        known: trees to go on from.
        workers: processes that bound parts side by side.
        report: see `Report`.
    """

    leaves: int
    known: tuple[Tree, ...] = ()
    workers: int = 1
    report: Report | None = None


NO_BRANCHING = Branching(0)


@dataclass(frozen=True)
class Problem:
    """The largest |a . D| of one pixel (row, column), for dual weights a of the second SiLU."""

    first: FirstLayers
    a: Fix
    pixel: tuple[int, int]

    def bound(self, part: tuple[Ints, Ints]) -> Fraction:
        """The checker's bound for images whose bytes are from the first array to the second."""
        return self.first.change(self.a, self.pixel, self.first.slopes(*part)) or Fraction(0)

    def candidates(self, low: Ints, high: Ints) -> list[tuple[int, int]]:
        """Bytes that the slopes depend on most, with thresholds."""
        weighed = self._influence(low, high).reshape(-1) * (high - low).reshape(-1)
        own = np.ravel_multi_index((0, *self.pixel), low.shape)
        block = self._block
        weighed[own] *= high.flat[own] - low.flat[own] >= block
        found = dict[tuple[int, int], None]()
        for place in np.argsort(-weighed, kind="stable")[:BYTES].tolist():
            least, most = int(low.flat[place]), int(high.flat[place])
            for share in SHARES if weighed[place] > 0 else ():
                threshold = min(int(least + share * (most - least)), most - 1)
                if place == own:
                    threshold = min(threshold | block - 1, most - block)
                found[place, threshold] = None
        return list(found)

    @property
    def _block(self) -> int:
        """How many bytes of the pixel's own stay together, from a multiple of that on."""
        return 1 + next(t for t in range(256) if not self.first.question.splits_pair(t))

    def _influence(self, low: Ints, high: Ints) -> NDArray[np.float64]:
        """How much each byte may turn the slopes, times what they weigh (1, H, W)."""
        first, second = self.first.convolutions
        place = np.ravel_multi_index((0, *self.pixel), low.shape)
        moved = np.abs(first.w[:, [place]].toarray())
        (turn1, steep1), (turn2, steep2) = (
            [v.reshape(-1, 1) for v in (most.n - least.n, np.maximum(abs(least.n), abs(most.n)))]
            for least, most in self.first.slopes(low, high)
        )
        weight = np.abs(self.a.n)
        moved2 = abs(second.w) @ (moved * steep1)
        direct = moved * turn1 * _pulled(second, weight * steep2)
        later = steep1 * _pulled(second, weight * turn2 * moved2)
        return _pulled(first, direct + later).reshape(low.shape)


def _pulled(layer: Products, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transposed absolute weights applied to x >= 0, in some unit."""
    return abs(layer.w).T @ x


@dataclass
class Part:
    """Images whose bytes are from ``low`` to ``high`` (1, H, W); two parts once it is split."""

    low: Ints
    high: Ints
    bound: Fraction = Fraction(-1)  # until it is known
    split: tuple[int, int] | None = None
    halves: tuple[Part, ...] = ()

    def divide(self, place: int, threshold: int) -> tuple[Part, Part]:
        """The images whose byte is at most the threshold, and the others."""
        low, high = self.low.copy(), self.high.copy()
        low.flat[place], high.flat[place] = threshold + 1, threshold
        return Part(self.low, high), Part(low, self.high)

    def preorder(self) -> Iterator[Part]:
        """This part and those that it is split into, as a tree lists them."""
        parts: list[Part] = [self]
        while parts:
            part = parts.pop()
            yield part
            parts.extend(reversed(part.halves))


_problem: Problem | None = None


def _begin(problem: Problem) -> None:
    """A worker process has one problem, sent to it once; Ctrl-C is not for it to answer."""
    global _problem
    _problem = problem
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _bound(part: tuple[Ints, Ints]) -> Fraction:
    assert _problem is not None
    return _problem.bound(part)


class Branches:
    """The tree of one problem, and its leaves, the one with the largest bound first.

    Used as a context, so that its worker processes end with it.
    """

    def __init__(
        self, problem: Problem, splits: Iterable[Sequence[int]] = (), *, workers: int = 1
    ) -> None:
        """From the tree ``splits``, in preorder; of a single leaf if there are none."""
        self.problem, self._count = problem, itertools.count()
        shape = problem.first.nodes[0].shape
        self.root = Part(*problem.first.question.whole(shape))
        self.pool: ProcessPoolExecutor | None = None
        if workers > 1:
            spawn = get_context("spawn")
            self.pool = ProcessPoolExecutor(workers, spawn, _begin, (problem,))
        for part, (place, threshold) in zip(self.root.preorder(), splits, strict=False):
            if place != LEAF:
                part.split, part.halves = (place, threshold), part.divide(place, threshold)
        self.open = list[tuple[Fraction, int, Part]]()
        self._push([part for part in self.root.preorder() if not part.halves])

    def __enter__(self) -> Branches:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    @property
    def bound(self) -> Fraction:
        """The largest bound of a leaf."""
        return -self.open[0][0]

    def tree(self, pair: tuple[int, int]) -> tuple[Tree, list[Fraction]]:
        """As in a certificate, with the bounds of its leaves."""
        parts = [*self.root.preorder()]
        splits = (*(part.split or (LEAF, 0) for part in parts),)
        bounds = [part.bound for part in parts if not part.halves]
        return Tree(pair, self.problem.pixel, splits), bounds

    def split(self) -> bool:
        """Split the worst leaf; False where nothing is left to split it by."""
        part = self.open[0][2]
        choices = self.problem.candidates(part.low, part.high)
        tried = [part.divide(*choice) for choice in choices]
        self._evaluate([half for halves in tried for half in halves])
        if not tried:
            return False
        worst = [sorted((half.bound for half in halves), reverse=True) for halves in tried]
        best = min(range(len(tried)), key=worst.__getitem__)
        heapq.heappop(self.open)
        part.split, part.halves = choices[best], tried[best]
        self._push([*part.halves])
        return True

    def _push(self, parts: list[Part]) -> None:
        self._evaluate([part for part in parts if part.bound < 0])
        for part in parts:
            heapq.heappush(self.open, (-part.bound, next(self._count), part))

    def _evaluate(self, parts: list[Part]) -> None:
        each = self.pool.map if self.pool else map
        bound = _bound if self.pool else self.problem.bound
        for part, found in zip(parts, each(bound, [(p.low, p.high) for p in parts]), strict=True):
            part.bound = found


def branched(
    derivation: Derivation,
    claims: Mapping[str, Claim],
    branching: Branching,
    *,
    progress: Progress = silent,
) -> dict[str, Tree]:
    """Trees for a derivation, by name.

    Ctrl-C ends it early, with the trees as they are.

    Args:
        derivation: without trees; it is concluded again whenever a tree has twice as many leaves.
        claims: what follows from it.
        branching: how far to go.
        progress: told of the leaves.
    """
    first, spent, leaves = first_layers(derivation.frame), 0, branching.leaves
    before = {(tree.pair, tree.pixel): tree.splits for tree in branching.known}
    balances = {name: Balance(derivation, name) for name in EXECUTIONS}
    trees, bounds = dict[str, Tree](), dict[str, list[Fraction]]()
    worst = {name: claim.worst for name, claim in claims.items() if 0 < claim.upper < 1}
    while first is not None and spent < leaves:
        new = [name for name in reversed(EXECUTIONS) if name in worst and _name(worst[name])
               not in trees]  # fmt: skip
        if not new:
            break
        (c, j, cell), asked = worst[new[0]], new[0]
        pixel, name = _pixel(derivation, cell), _name(worst[asked])
        a = difference(derivation.frame.duals[first.nodes[-1].name], (c, j))
        known = before.get(((c, j), pixel), ())
        with Branches(Problem(_alone(first), a, pixel), known, workers=branching.workers) as found:
            going = True
            while going:
                goal = min(2 * len(found.open), leaves - spent)
                try:
                    while len(found.open) < goal and (going := found.split()):
                        progress("branch and bound", spent + len(found.open), leaves)
                except KeyboardInterrupt:
                    going, leaves = False, 0
                trees[name], bounds[name] = found.tree((c, j))
                frame = replace(
                    derivation.frame, hints=replace(derivation.frame.hints, trees=trees)
                )
                exactly = exact_form(replace(derivation, frame=frame), first, bounds)
                worst = {one: balances[one].claim(exactly).worst for one in worst}
                if branching.report:
                    branching.report(trees[name], found.bound, len(bounds[name]))
                going = going and worst[asked] == (c, j, cell)
                going = going and len(bounds[name]) < leaves - spent
        spent += len(bounds[name])
    if branching.leaves:
        progress("branch and bound", branching.leaves, branching.leaves)
    return trees


def _pixel(derivation: Derivation, cell: int) -> tuple[int, int]:
    """Row and column of the one place of a cell: there is one channel."""
    shape = derivation.frame.network.input.shape
    return divmod(derivation.frame.question.cells(shape).item(cell, 0), shape[2])


def _name(worst: tuple[int, int, int]) -> str:
    return "-".join(map(str, worst))


def _alone(first: FirstLayers) -> FirstLayers:
    """What a worker process needs to be sent."""
    settings = {n.name: first.settings[n.name] for n in first.nodes if n.name in first.settings}
    return replace(first, settings=settings)
