"""Gradient ascent over pairs of images that differ by any move (see `gradient_ascent`).

Only the move differs from there: it is chosen, to first order, for the images as they are, and
chosen again as they change.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lastbit.graph import ByteArray, Network
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.adam import TINY, Adam, between
from lastbit.witness.search.budget import Budget
from lastbit.witness.search.gradient_ascent import AIM_EVERY, PHASES, Phase, log_change
from lastbit.witness.search.moves import MOST, Moves


class MoveAscent:
    """Ascent on one network, in float32.

    Attributes:
        steps: how many were taken, of all images of a climb at once.
    """

    def __init__(self, network: Network, moves: Moves, random: np.random.Generator) -> None:
        self._network, self._moves = TorchNetwork(network), moves
        self._classes = network.classes
        self._random = torch.Generator().manual_seed(int(random.integers(2**62)))
        self.steps = 0

    def climb(self, images: ByteArray, budget: Budget, share: float) -> tuple[ByteArray, ByteArray]:
        """Pairs (n, C, H, W) from images (N, C, H, W), best first; n is less than N."""
        x = torch.from_numpy(images).float()
        c = torch.randint(self._classes, (len(x),), generator=self._random)
        other = torch.randint(1, max(2, self._classes), (len(x),), generator=self._random)
        pair = torch.stack([c, (c + other) % self._classes], 1)
        step = self._best(x, pair, self._random)
        for phase in PHASES:
            x, step, pair, value = self._phase(phase, x, step, pair, budget, share)
            order = value.argsort(descending=True)[: max(1, round(phase.keep * len(x)))]
            x, step, pair = x[order], step[order], pair[order]
        one, two = self._moves.rounded(x.flatten(1), step.flatten(1))
        return one.reshape(x.shape), two.reshape(x.shape)

    def _phase(
        self, phase: Phase, x: Tensor, step: Tensor, pair: Tensor, budget: Budget, share: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = _within(x, step).clone()
        adam, balance = Adam(x), phase.balance[0]
        for k in range(phase.steps):
            if not budget.lasts(share):
                break
            done = k / max(1, phase.steps - 1)
            balance = between(phase.balance, done)
            if k % AIM_EVERY == AIM_EVERY - 1:
                step, pair = self._again(x.detach(), step, pair, balance)
            self._objective(x, step, pair, balance).sum().backward()
            adam.step(between(phase.rate, done))
            self.steps += 1
            with torch.no_grad():
                x.copy_(_within(x, step))
        with torch.no_grad():
            value = self._objective(x, step, pair, balance)
        return x.detach(), step, pair, value.nan_to_num(-torch.inf, -torch.inf, -torch.inf)

    def _again(
        self, x: Tensor, step: Tensor, pair: Tensor, balance: float
    ) -> tuple[Tensor, Tensor]:
        """The best two classes for the move, then the best move for them, if it is better."""
        with torch.no_grad():
            logits, change = self._changes(x, step)
            likely = torch.log_softmax(logits, 1)
            effect = (change[:, :, None] - change[:, None, :]).abs().clamp_min(TINY).log()
            value = effect + balance * (likely[:, :, None] + likely[:, None, :])
            value.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
            best = value.flatten(1).nan_to_num(-torch.inf).argmax(1)
        pair = torch.stack([best // self._classes, best % self._classes], 1)
        found = self._best(x, pair)
        with torch.no_grad():
            old, new = (self._objective(x, s, pair, balance) for s in (step, found))
        better = (new > old).view(-1, 1, 1, 1)
        return torch.where(better, found, step), pair

    def _objective(self, x: Tensor, step: Tensor, pair: Tensor, balance: float) -> Tensor:
        """As in `gradient_ascent`, (N,)."""
        logits, change = self._changes(x, step)
        if balance == 1:
            return log_change(logits, change).gather(1, pair).amax(1)
        moved = change.gather(1, pair)
        effect = (moved[:, 0] - moved[:, 1]).abs().clamp_min(TINY).log()
        return effect + balance * torch.log_softmax(logits, 1).gather(1, pair).sum(1)

    def _changes(self, x: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and how the move changes them, both (N, classes)."""
        logits = self._network.logits(torch.cat([x, x + step]))
        return logits[: len(x)], logits[len(x) :] - logits[: len(x)]

    def _best(self, x: Tensor, pair: Tensor, luck: torch.Generator | None = None) -> Tensor:
        """The move that raises the difference of two logits most, or one that does so."""
        x = x.detach().requires_grad_()
        difference = self._network.logits(x).gather(1, pair)
        (slope,) = torch.autograd.grad((difference[:, 0] - difference[:, 1]).sum(), x)
        slope, flat = slope.flatten(1).nan_to_num(0.0, 0.0, 0.0), x.detach().flatten(1)
        return self._moves.best(flat, slope, of_bytes=False, luck=luck).view_as(x)


def _within(x: Tensor, step: Tensor) -> Tensor:
    """Images that are within [0, 255] before the move and after it."""
    return torch.minimum(torch.maximum(x, (-step).clamp_min(0)), MOST - step.clamp_min(0))
