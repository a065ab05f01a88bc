"""The rest of the image: steered until the two classes of a patch share all probability.

Where the last bit moves logit_c - logit_j by R, it moves prob_c by as much as tanh(R / 4), if it
takes it from 1/2 - tanh(R / 4) / 2 to 1/2 + tanh(R / 4) / 2 and no other class has any part in it.
The patch decides R; the other pixels are free to bring that about.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lastbit.graph import ByteArray, Network
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.adam import Adam, between
from lastbit.witness.search.budget import Budget
from lastbit.witness.search.patches.patch import Patch
from lastbit.witness.search.scoring import BATCH, IntArray
from lastbit.witness.search.starting_points import fresh

IMAGES = 64
"""Images that each patch is put into."""
CLIMBED = 4
"""Images per patch that are then climbed from: those where its classes are most likely."""
STEPS, RATES = 80, (24.0, 0.5)
"""Steps of the ascent, and their size at first and at last, in bytes."""


class ClassBalance:
    """Steering on one network, in float32; a folded one (see `linear_head`) is fast."""

    def __init__(self, network: Network, random: np.random.Generator) -> None:
        self._network = TorchNetwork(network)
        self._shape = network.input_shape[1:]
        self._random = random

    def steer(
        self, patches: Sequence[Patch], images: ByteArray | None, budget: Budget, share: float
    ) -> tuple[ByteArray, IntArray]:
        """Images (N, H, W) that hold a patch each, and its pixel (N,), an index.

        Args:
            patches: whose classes are to be balanced.
            images: uint8 (M, H, W) to start from, next to random ones.
            budget: once its share is spent, what there is comes back.
            share: of the budget.
        """
        starts = fresh(self._random, IMAGES, self._shape, images)
        whole = np.zeros(self._shape, np.uint8)
        x, steps, free, classes = [], [], [], []
        for patch in patches:
            if x and not budget.lasts(share):
                break
            c, j = patch.classes
            step = whole.copy()
            step[patch.pixel] = 1
            pasted = torch.from_numpy(patch.pasted(starts)).float()
            with torch.inference_mode():
                value = self._likely(pasted, torch.from_numpy(step), torch.tensor([[c, j]]))
            x.append(pasted[value.argsort(descending=True, stable=True)[:CLIMBED]])
            steps += [step] * CLIMBED
            outside = np.ones_like(patch.values)
            held = Patch(patch.pixel, patch.classes, patch.corner, outside).pasted(whole)
            free += [held == 0] * CLIMBED
            classes += [patch.classes] * CLIMBED
        up, moves = torch.from_numpy(np.stack(steps)), torch.from_numpy(np.stack(free))
        ends = self._climb(torch.cat(x), up, moves, torch.tensor(classes), budget, share)
        image = ends.round().to(torch.uint8).numpy()
        return image, np.stack(steps).reshape(len(image), -1).argmax(1)

    def _climb(
        self, x: Tensor, up: Tensor, free: Tensor, classes: Tensor, budget: Budget, share: float
    ) -> Tensor:
        x = x.clone()
        adam = Adam(x)
        for step in range(STEPS):
            if not budget.lasts(share):
                break
            for rows in torch.arange(len(x)).split(BATCH):
                self._likely(x[rows], up[rows], classes[rows]).sum().backward()
            adam.step(between(RATES, step / (STEPS - 1)), free)
            with torch.no_grad():
                x.clamp_(0, 255)
        return x.detach()

    def _likely(self, x: Tensor, up: Tensor, classes: Tensor) -> Tensor:
        """log prob_c + log prob_j (N,), halfway between the two images of the pair."""
        likely = torch.log_softmax(self._network.logits((x + up / 2).unsqueeze(1)), 1)
        return likely.gather(1, classes.expand(len(x), 2)).sum(1)
