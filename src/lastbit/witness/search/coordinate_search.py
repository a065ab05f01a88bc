"""Exact coordinate search over bytes: change one byte, keep what moves the answer further.

The gradient orders the changes to try; it decides nothing. Every pair is evaluated as it is, and a
search that ends before its time has tried every change on its list in vain.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from lastbit.graph import ByteArray, Network
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.budget import Budget
from lastbit.witness.search.scoring import BATCH, Candidate, Float64Array, IntArray, Scorer, best_of

STEPS = (1, 2, 4, 8, 16, 32, 64)
EXHAUSTIVE = 4096
"""Where all bytes of all pixels are no more changes than this, all of them are tried."""


class CoordinateSearch:
    """Coordinate search on one network."""

    def __init__(self, network: Network, scorer: Scorer, random: np.random.Generator) -> None:
        self._network = TorchNetwork(network)
        self._scorer = scorer
        self._random = random

    def polish(self, start: Candidate, budget: Budget, share: float = 1.0) -> Iterator[Candidate]:
        """Better and better pairs, by changes of bytes and of the pixel, until none helps.

        Ends early once that share of the budget is spent.
        """
        best = start
        while budget.lasts(share):
            found = self._scorer.over_pixels(best.image, partial(budget.lasts, share))
            if found.score > best.score:
                yield (best := found)
            before = best
            while (found := self._better_bytes(best, budget, share)).score > best.score:
                yield (best := found)
            if best is before:
                return

    def _better_bytes(self, best: Candidate, budget: Budget, share: float) -> Candidate:
        """A better pair; the same one where no change on the list helps or the time is up."""
        places, values = self._changes(best)
        for i in range(0, len(places), BATCH // 2):
            if not budget.lasts(share):
                break
            part = slice(i, i + BATCH // 2)
            found = self._try(best, places[part], values[part])
            if found.score > best.score:
                return found
        return best

    def _try(self, best: Candidate, places: IntArray, values: ByteArray) -> Candidate:
        """The best of the single changes, and of several of them together."""
        images = np.repeat(best.image[None], len(places), 0)
        images.reshape(len(images), -1)[np.arange(len(images)), places] = values
        pixels = np.full(len(images), best.pixel)
        changes = self._scorer.changes(images, pixels)
        found = best_of(images, pixels, changes)
        gains = changes[:, best.class_index] - best.score
        order = np.argsort(-gains, kind="stable")
        order = order[gains[order] > 0]
        _, first = np.unique(places[order], return_index=True)
        order = order[np.sort(first)]  # at most one change of a byte, the best one
        if len(order) < 2:
            return found
        together = np.repeat(best.image[None], len(order), 0)
        flat = together.reshape(len(order), -1)
        for row, k in enumerate(order):
            flat[row:, places[k]] = values[k]
        pixels = pixels[: len(together)]
        joint = best_of(together, pixels, self._scorer.changes(together, pixels))
        return joint if joint.score > found.score else found

    def _changes(self, best: Candidate) -> tuple[IntArray, ByteArray]:
        """Places (M,) and new values (M,), the most promising first."""
        size = best.image.size
        old = best.image.reshape(-1).astype(np.int64)
        if size * 255 <= EXHAUSTIVE:
            values = np.repeat(np.arange(256)[None], size, 0)
        else:
            steps = np.array([s for step in STEPS for s in (step, -step)])
            random = self._random.integers(0, 256, (size, 1))
            ends = np.repeat([[0, 255]], size, 0)
            values = np.concatenate([(old[:, None] + steps).clip(0, 255), ends, random], 1)
        places = np.repeat(np.arange(size)[:, None], values.shape[1], 1)
        gain = self._slope(best)[:, None] * (values - old[:, None])
        moved = values != old[:, None]
        order = np.argsort(-gain[moved], kind="stable")
        return places[moved][order], values[moved][order].astype(np.uint8)

    def _slope(self, best: Candidate) -> Float64Array:
        """Derivative of the pair's change by every byte of both images, (H * W,)."""
        x = torch.from_numpy(best.image)[None, None].float()
        step = torch.zeros_like(x).flatten()
        step[best.pixel] = 1 - 2 * (int(best.image.reshape(-1)[best.pixel]) & 1)
        x.requires_grad_()
        both = self._network.probabilities(torch.cat([x, x + step.view_as(x)]))
        change = (both[1] - both[0])[best.class_index].abs()
        (slope,) = torch.autograd.grad(change, x)
        return slope.flatten().nan_to_num(0.0, 0.0, 0.0).double().numpy()
