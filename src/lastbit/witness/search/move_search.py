"""The search over pairs of images that differ by any move.

Rounds of ascent from many images, and exact coordinate search from the best results: a byte of both
images changes, or one of the cells that move gives way to another; what helps is kept. Every pair
is evaluated as it is, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lastbit.graph import ByteArray, ImageArray, Network
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.files import Witness
from lastbit.witness.pairs import whole
from lastbit.witness.search.budget import Budget, Report
from lastbit.witness.search.coordinate_search import STEPS
from lastbit.witness.search.move_ascent import MoveAscent
from lastbit.witness.search.moves import Moves, Pair
from lastbit.witness.search.patches.linear_head import fold_linear_head
from lastbit.witness.search.patches.patch import Patch
from lastbit.witness.search.pruning import prune
from lastbit.witness.search.scoring import BATCH, Float64Array, IntArray
from lastbit.witness.search.starting_points import fresh

KEPT, POLISHED = 8, 2
"""The best pairs that are remembered, and how many results of a round go into coordinate search."""
ROUNDS_SHARE, POLISH_SHARE = 0.8, 0.1
"""The shares of the time for rounds, and for coordinate search in each."""
MOST_CHANGES, MOST_CELLS = 8192, 1024
"""Changes of a byte, and cells, that are tried at most before the slopes are taken anew."""
MOST_CLASSES = 16
"""Classes that are looked at where a pair is made of one image."""


class MoveSearch:
    """One search.

    Attributes:
        best: the best pairs so far, best first; one at least.
        climbed: how many images were climbed from.
    """

    def __init__(
        self,
        network: Network,
        budget: Budget,
        starts: int,
        seed: int,
        images: ByteArray | None,
        report: Report,
    ) -> None:
        self.budget, self.climbed = budget, 0
        self._shape, self._starts, self._report = network.input_shape, starts, report
        fits = images is not None and images.shape[1:] == self._shape[1:]
        self._images = images if fits else None
        self._random = np.random.default_rng(seed)
        self._moves = Moves(network)
        network = prune(network)
        if self._shape[0] == 1:
            network = fold_linear_head(network) or network
        self._double = TorchNetwork(network, torch.float64)
        self._ascent = MoveAscent(network, self._moves, self._random)
        self.best = [self._start(np.zeros(self._shape, np.uint8))]
        self._known = self.best[0].score

    @property
    def improved(self) -> bool:
        """Whether anything better was found than what was known."""
        return self.best[0].score > self._known

    @property
    def patch(self) -> None:
        """There is none: more than a patch of the image may change."""

    def run(self, known: Witness | None, rounds: int | None, _: Sequence[Patch] = ()) -> None:
        """Search until the time is up, or so many rounds are done.

        Args:
            known: a pair to start from, too; of another move its first image.
            rounds: how many; None for any number.
        """
        if known is not None and whole(known.image).shape == self._shape:
            self._begin(known)
        done = 0
        while self.budget.lasts(ROUNDS_SHARE) and done != rounds:
            done += 1
            before = self._ascent.steps
            ends = self._ascent.climb(self._round_starts(), self.budget, ROUNDS_SHARE)
            self.climbed += self._starts * (self._ascent.steps > before)
            found = sorted(self._pairs(*ends), key=lambda pair: -pair.score)
            for pair in found:
                self._keep(pair)
            until = min(1.0, self.budget.spent / self.budget.seconds + POLISH_SHARE)
            for pair in found[:POLISHED]:
                self._polish(pair, until)
        for pair in list(self.best):
            self._polish(pair, 1.0)

    def _begin(self, known: Witness) -> None:
        image, other = (whole(each) for each in known.pair)
        start = self._start(image)
        if known.question.move == self._double.network.question.move:
            start = max(start, *self._pairs(image[None], other[None]), key=lambda one: one.score)
            self._known = max(self._known, start.score)
        self._keep(start)
        self._polish(start, POLISH_SHARE)

    def _start(self, image: ByteArray) -> Pair:
        """An image with the move that does most to any of its likeliest classes, to first order."""
        likely = np.argsort(-self._answers(image[None])[0], kind="stable")[:MOST_CLASSES]
        slopes = self._slopes(np.repeat(image[None], len(likely), 0), likely.tolist())
        x = torch.from_numpy(image).double().flatten()[None]
        steps = [self._moves.best(x, s * slopes, of_bytes=True) for s in (1, -1)]
        by = torch.cat(steps).long()
        others = self._moves.moved(x.long(), by).numpy().astype(np.uint8)
        others = others.reshape(-1, *self._shape)
        pairs = self._pairs(np.repeat(image[None], len(others), 0), others)
        return max(pairs, key=lambda pair: (pair.score, bool(np.any(pair.image != pair.other))))

    def _round_starts(self) -> ByteArray:
        """Fresh images; half of them, once there is anything, variations on the best ones."""
        old = self._starts // 2 if self.best[0].score > 0 else 0
        channels, plane = self._shape[0], self._shape[1:]
        new = fresh(self._random, (self._starts - old) * channels, plane, self._images)
        new = new.reshape(-1, *self._shape)
        grey = self._random.random(len(new)) < 0.5
        new[grey] = new[grey][:, :1]
        return np.concatenate([new, *(self._varied()[None] for _ in range(old))])

    def _varied(self) -> ByteArray:
        """One of the best images: moved, mixed with another one, or disturbed."""
        one, other = (
            self.best[int(k)].image for k in self._random.integers(len(self.best), size=2)
        )
        noise = self._random.integers(0, 256, one.shape)
        kind, some = int(self._random.integers(3)), self._random.random(one.shape) < 0.3
        rolled = np.roll(one, 2 * self._random.integers(0, 8, 2), (1, 2))
        return [rolled, np.where(some, other, one), np.where(some, noise, one)][kind].astype(
            np.uint8
        )

    def _polish(self, pair: Pair, share: float) -> None:
        for better in self._climbed(pair, share):
            self._keep(better)

    def _climbed(self, best: Pair, share: float) -> Iterator[Pair]:
        """Better and better pairs, until nothing on either list helps or the share is spent."""
        while self.budget.lasts(share):
            before = best
            for made in (self._other_cells, self._other_bytes):
                while (found := made(best, share)).score > best.score:
                    yield (best := found)
            if best is before:
                return

    def _other_cells(self, best: Pair, share: float) -> Pair:
        """With another move: the best to first order, or with one cell in the place of another."""
        c, flat = best.class_index, torch.from_numpy(best.image).double().flatten()[None]
        slope, now = self._slopes(best.image[None], [c]), self._start(best.image)
        if now.score > best.score:
            return now
        by = torch.from_numpy(best.other.astype(np.int64) - best.image).flatten()
        sign = 1.0 if float((slope[0] * by).sum()) >= 0 else -1.0
        step, gain = self._moves.steps(flat, sign * slope, of_bytes=True)
        each, cells = self._moves.of_cells(gain)[0], self._moves.cells
        moving = (by[cells] != 0).any(1)
        full = int(moving.sum()) == self._moves.count
        base = by.clone()
        if full:
            weakest = torch.where(moving, each, torch.inf).argmin()
            base[cells[weakest]] = 0
        order = torch.where(moving, -torch.inf, each).argsort(descending=True)[:MOST_CELLS]
        order = order[~moving[order]]
        for part in order.split(BATCH // 2):
            if not self.budget.lasts(share):
                break
            moves = base.repeat(len(part), 1)
            places = cells[part]
            moves.scatter_(1, places, step[0].long()[places])
            others = self._moves.moved(flat.long(), moves).numpy().astype(np.uint8)
            images = np.repeat(best.image[None], len(part), 0)
            found = self._best(images, others.reshape(images.shape))
            if found.score > best.score:
                return found
        return best

    def _other_bytes(self, best: Pair, share: float) -> Pair:
        """With other bytes in both images: the most promising changes first."""
        places, values = self._byte_changes(best)
        for k in range(0, len(places), BATCH // 2):
            if not self.budget.lasts(share):
                break
            part = slice(k, k + BATCH // 2)
            found = self._try(best, places[part], values[part])
            if found.score > best.score:
                return found
        return best

    def _byte_changes(self, best: Pair) -> tuple[IntArray, IntArray]:
        """Places (M,) and new values (M,)."""
        old = best.image.reshape(-1).astype(np.int64)
        steps = np.array([s for step in STEPS for s in (step, -step)])
        random = self._random.integers(0, 256, (old.size, 1))
        ends = np.repeat([[0, 255]], old.size, 0)
        values = np.concatenate([(old[:, None] + steps).clip(0, 255), ends, random], 1)
        both = np.stack([best.image, best.other])
        slopes = self._slopes(both, [best.class_index] * 2).numpy()
        sign = np.sign(float(np.diff(self._answers(both)[:, best.class_index])[0])) or 1.0
        gain = sign * (slopes[1] - slopes[0])[:, None] * (values - old[:, None])
        places = np.repeat(np.arange(old.size)[:, None], values.shape[1], 1)
        moved = values != old[:, None]
        order = np.argsort(-gain[moved], kind="stable")[:MOST_CHANGES]
        return places[moved][order], values[moved][order]

    def _try(self, best: Pair, places: IntArray, values: IntArray) -> Pair:
        """The best of the single changes, and of several of them together."""
        by = best.other.reshape(-1).astype(np.int64) - best.image.reshape(-1)
        moved = self._moves.moved(torch.from_numpy(values), torch.from_numpy(by[places])).numpy()
        rows = np.arange(len(places))
        images, others = (np.repeat(v.reshape(1, -1), len(places), 0)
                          for v in (best.image, best.other))  # fmt: skip
        images[rows, places], others[rows, places] = values, moved
        changes = self._changes(images, others)
        found = self._best_of(images, others, changes)
        gains = changes[:, best.class_index] - best.score
        order = np.argsort(-gains, kind="stable")
        order = order[gains[order] > 0]
        _, first = np.unique(places[order], return_index=True)
        order = order[np.sort(first)]  # at most one change of a byte, the best one
        if len(order) < 2:
            return found
        images, others = (np.repeat(v.reshape(1, -1), len(order), 0)
                          for v in (best.image, best.other))  # fmt: skip
        for row, k in enumerate(order):
            images[row:, places[k]], others[row:, places[k]] = values[k], moved[k]
        joint = self._best(images, others)
        return joint if joint.score > found.score else found

    def _best(self, images: ByteArray, others: ByteArray) -> Pair:
        return self._best_of(images, others, self._changes(images, others))

    def _best_of(self, images: ByteArray, others: ByteArray, changes: Float64Array) -> Pair:
        row, c = divmod(int(changes.argmax()), changes.shape[1])
        one, other = (v[row].reshape(self._shape).copy() for v in (images, others))
        return Pair(one, other, c, float(changes[row, c]))

    def _pairs(self, images: ByteArray, others: ByteArray) -> list[Pair]:
        changes = self._changes(images, others)
        rows = zip(images, others, changes, strict=True)
        return [self._best_of(a[None], b[None], change[None]) for a, b, change in rows]

    def _keep(self, pair: Pair) -> None:
        """Remember a pair, if it is among the best; of one image only the best."""
        if pair.score > self.best[0].score:
            self._report(pair.score, pair.pixel, pair.class_index, self.budget.spent)
        by_move = dict[tuple[int, ...], Pair]()
        for one in sorted([*self.best, pair], key=lambda one: -one.score):
            moved = np.flatnonzero(one.image != one.other)
            by_move.setdefault((*moved.tolist(), one.class_index), one)
        self.best = [*by_move.values()][:KEPT]

    def _changes(self, images: ImageArray, others: ImageArray) -> Float64Array:
        """|change of each class's probability| (N, classes), 0 where it is not a number."""
        changes = np.abs(self._answers(others) - self._answers(images))
        return np.where(np.isfinite(changes), changes, 0.0)

    def _answers(self, images: ImageArray) -> Float64Array:
        flat = torch.from_numpy(images).reshape(-1, *self._shape)
        with torch.inference_mode():
            parts = [self._double.probabilities(part.double()) for part in flat.split(BATCH)]
        return torch.cat(parts).numpy()

    def _slopes(self, images: ByteArray, classes: Sequence[int]) -> torch.Tensor:
        """Of the probability of a class each, by every place (N, P)."""
        x = torch.from_numpy(images).double().requires_grad_()
        answers = self._double.probabilities(x)
        chosen = torch.tensor([*classes])[:, None]
        (slope,) = torch.autograd.grad(answers.gather(1, chosen).sum(), x)
        return slope.flatten(1).nan_to_num(0.0, 0.0, 0.0)
