"""Gradient ascent over images of real numbers in [0, 255].

With two classes c and j in the lead, one step of pixel p changes prob_c by about
prob_c prob_j |D_c - D_j|, where D is the change of the logits. Its logarithm,

    log |D_c - D_j| + balance (log prob_c + log prob_j),

has a gradient worth following from any image, however sure the network is of its answer. `balance`
grows from almost 0, where the pixel's surroundings are made as sensitive as they can be, to 1,
where the rest of the image is steered until c and j are equally likely and all others vanish. From
then on the objective is the logarithm of the change of prob_c itself.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lastbit.graph import ByteArray, Network
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.adam import TINY, Adam, between
from lastbit.witness.search.budget import Budget
from lastbit.witness.search.scoring import IntArray


@dataclass(frozen=True)
class Phase:
    """Some steps of ascent.

    Attributes:
        steps: how many.
        keep: the share of images that goes on after them.
        balance: at the first and at the last step.
        rate: size of a step in units of a byte, at the first and at the last step.
    """

    steps: int
    keep: float
    balance: tuple[float, float]
    rate: tuple[float, float]


PHASES = (
    Phase(40, 0.5, (0.02, 0.3), (24.0, 12.0)),
    Phase(40, 0.5, (0.3, 1.0), (12.0, 6.0)),
    Phase(60, 1.0, (1.0, 1.0), (6.0, 0.5)),
)
AIM_EVERY = 20
"""Steps after which pixels and classes are chosen again."""


@dataclass(frozen=True)
class Aim:
    """Per image (N,): the pixel, and the classes c and j."""

    pixel: Tensor
    c: Tensor
    j: Tensor

    def __getitem__(self, rows: Tensor) -> "Aim":
        return Aim(self.pixel[rows], self.c[rows], self.j[rows])


class Ascent:
    """Ascent on one network, in float32.

    Attributes:
        steps: how many were taken, of all images of a climb at once.
    """

    def __init__(self, network: Network, random: np.random.Generator) -> None:
        self._network = TorchNetwork(network)
        self._classes = network.classes
        self.steps = 0
        self._random = torch.Generator().manual_seed(int(random.integers(2**62)))

    def climb(
        self, images: ByteArray, pixels: IntArray, budget: Budget, share: float = 1.0
    ) -> tuple[ByteArray, IntArray]:
        """Better pairs from images (N, H, W), best first; fewer come back than go in.

        Args:
            images: where to start.
            pixels: (N,), -1 where the pixel is to be chosen here.
            budget: once its share is spent, what there is comes back.
            share: of the budget.
        """
        x = torch.from_numpy(images).float().unsqueeze(1)
        aim = self._first_aim(x, torch.from_numpy(pixels))
        for phase in PHASES:
            x, aim, value = self._phase(phase, x, aim, budget, share)
            order = value.argsort(descending=True)[: max(1, round(phase.keep * len(x)))]
            x, aim = x[order], aim[order]
        return _to_bytes(x, aim.pixel)

    def _phase(
        self, phase: Phase, x: Tensor, aim: Aim, budget: Budget, share: float
    ) -> tuple[Tensor, Aim, Tensor]:
        x = x.clone()
        adam = Adam(x)
        balance = phase.balance[0]
        for step in range(phase.steps):
            if not budget.lasts(share):
                break
            done = step / max(1, phase.steps - 1)
            balance = between(phase.balance, done)
            if step % AIM_EVERY == AIM_EVERY - 1:
                aim = self._aim_again(x.detach(), aim, balance)
            self._objective(x, aim, balance).sum().backward()
            adam.step(between(phase.rate, done))
            self.steps += 1
            with torch.no_grad():
                _project(x, aim.pixel)
        with torch.no_grad():
            value = self._objective(x, aim, balance)
        return x.detach(), aim, value.nan_to_num(-torch.inf, -torch.inf, -torch.inf)

    def _objective(self, x: Tensor, aim: Aim, balance: float) -> Tensor:
        """The formula above, (N,)."""
        logits, change = self._changes(x, aim.pixel)
        rows = torch.arange(len(x))
        if balance == 1:
            return log_change(logits, change)[rows, aim.c]
        effect = (change[rows, aim.c] - change[rows, aim.j]).abs().clamp_min(TINY).log()
        likely = torch.log_softmax(logits, 1)
        return effect + balance * (likely[rows, aim.c] + likely[rows, aim.j])

    def _changes(self, x: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and their change D when the pixel goes one up, both (N, classes)."""
        up = torch.zeros_like(x).flatten(1)
        up[torch.arange(len(x)), pixel] = 1
        logits = self._network.logits(torch.cat([x, x + up.view_as(x)]))
        return logits[: len(x)], logits[len(x) :] - logits[: len(x)]

    def _first_aim(self, x: Tensor, given: Tensor) -> Aim:
        """Two classes at random; a pixel at random, strong ones with more luck."""
        c = torch.randint(self._classes, (len(x),), generator=self._random)
        other = torch.randint(1, self._classes, (len(x),), generator=self._random)
        j = (c + other) % self._classes
        slope = self._slopes(x, c, j)
        luck = torch.rand(slope.shape, generator=self._random).clamp_min(TINY)
        pixel = (2 * slope.clamp_min(TINY).log() - (-luck.log()).log()).argmax(1)
        known = given >= 0
        pixel = torch.where(known, given, pixel)
        leading = self._leading(x, Aim(pixel, c, j), 1.0)
        return Aim(pixel, torch.where(known, leading.c, c), torch.where(known, leading.j, j))

    def _aim_again(self, x: Tensor, aim: Aim, balance: float) -> Aim:
        """The best classes for the pixel, then the best pixel for them, if it is better."""
        aim = self._leading(x, aim, balance)
        other = Aim(self._slopes(x, aim.c, aim.j).argmax(1), aim.c, aim.j)
        with torch.no_grad():
            better = self._objective(x, other, balance) > self._objective(x, aim, balance)
        return Aim(torch.where(better, other.pixel, aim.pixel), aim.c, aim.j)

    def _leading(self, x: Tensor, aim: Aim, balance: float) -> Aim:
        """The two classes with the largest objective, for the aim's pixel."""
        with torch.no_grad():
            logits, change = self._changes(x, aim.pixel)
            likely = torch.log_softmax(logits, 1)
            effect = (change[:, :, None] - change[:, None, :]).abs().clamp_min(TINY).log()
            value = effect + balance * (likely[:, :, None] + likely[:, None, :])
            value.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
            best = value.flatten(1).nan_to_num(-torch.inf).argmax(1)
            c, j = best // self._classes, best % self._classes
            if balance == 1:
                c = log_change(logits, change).nan_to_num(-torch.inf).argmax(1)
                j = torch.where(c == j, best // self._classes, j)
        return Aim(aim.pixel, c, j)

    def _slopes(self, x: Tensor, c: Tensor, j: Tensor) -> Tensor:
        """|derivative of logit_c - logit_j| by every pixel, (N, H * W)."""
        x = x.detach().requires_grad_()
        logits = self._network.logits(x)
        rows = torch.arange(len(x))
        (slope,) = torch.autograd.grad((logits[rows, c] - logits[rows, j]).sum(), x)
        return slope.flatten(1).abs().nan_to_num(0.0, 0.0, 0.0)


def log_change(logits: Tensor, change: Tensor) -> Tensor:
    """Log |change of each class's probability|, (N, classes)."""
    before = torch.log_softmax(logits, 1)
    # prob' / prob - 1, without the cancellation that the difference of probabilities suffers.
    growth = torch.expm1(change - torch.logsumexp(before + change, 1, keepdim=True))
    return before + growth.abs().clamp_min(TINY).log()


def _project(x: Tensor, pixel: Tensor) -> None:
    """Back into [0, 255], and the pixel to where one step up is allowed."""
    x.clamp_(0, 255)
    flat = x.flatten(1)
    rows = torch.arange(len(x))
    flat[rows, pixel] = flat[rows, pixel].clamp(max=254)


def _to_bytes(x: Tensor, pixel: Tensor) -> tuple[ByteArray, IntArray]:
    """Rounded, each pixel to an even byte, from which one step up is a flip of the last bit."""
    image = x[:, 0].round().to(torch.uint8).numpy().copy()
    pixels = pixel.numpy()
    flat = image.reshape(len(image), -1)
    flat[np.arange(len(image)), pixels] &= 254
    return image, pixels
