"""The patch of an image in which the last bit of one pixel moves the logits most.

Before a linear head (see `linear_head`) the change D of the logits depends on a patch around the
pixel and on nothing else. What is searched for is the largest R = D_c - D_j over pixels, classes
and patches: by ascent and coordinate search from many patches side by side, each of the classes
that it moves most apart.
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
from lastbit.witness.search.patches.population import Population, better, joined
from lastbit.witness.search.patches.receptive_field import ReceptiveFields
from lastbit.witness.search.starting_points import fresh

IMAGES = 192
"""Images of each round; every pixel's patch in them is a start, if it is good enough."""
BEST = 24
"""Pixels of each image that are started from, and places that a patch is moved to."""
POPULATION, PER_PIXEL = 96, 6
"""Patches that are improved side by side, and how many of them may be of one pixel."""
FIRST, AGAIN, LAST = (30, 40.0, 8.0), (40, 12.0, 1.0), (100, 4.0, 0.5)
"""Gradient ascent: steps, and their size at first and at last, in bytes."""
MOVED = 16
"""Patches that are moved to other pixels."""
MIXED = 3
"""How often in a round the patches of the population are mixed with each other."""
LEVELS = (0, 64, 128, 192, 255)
"""Values of a byte that coordinate search tries."""
STEPS = tuple(sign * 2**k for k in range(7) for sign in (1, -1))
"""Changes of a byte that it tries too."""
REFINED = 8
"""Patches that coordinate search starts from at the end of a round."""
GAIN = 1e-4
"""What improves the best patch by a smaller share than this is not done again."""
BATCH = 1024


class PatchSearch:
    """The search on one folded network.

    Args:
        network: as `fold_linear_head` makes it.
        random: of everything random.
        budget: once `share` of it is spent, what there is comes back.
        share: of the budget.

    Attributes:
        climbed: how many patches were climbed from.
        steps: how many steps were taken, of many patches at once.
    """

    def __init__(
        self, network: Network, random: np.random.Generator, budget: Budget, share: float
    ) -> None:
        self._network = TorchNetwork(network)
        self._fields = ReceptiveFields(network, torch.float32)
        self._exact = ReceptiveFields(network, torch.float64)
        self._random = random
        self._budget = budget
        self._share = share
        self.climbed = self.steps = 0

    def search(
        self, images: ByteArray | None, given: Sequence[Patch] = (), count: int = 32
    ) -> list[Patch]:
        """The best patches, best first; rounds go on until one brings next to nothing.

        Args:
            images: uint8 (N, H, W) to start from, next to random ones.
            given: patches to start from too; they come back improved, or not at all.
            count: how many to return.
        """
        population = self._given(given)
        before = 0.0
        while True:
            population = self._round(population, images)
            best = float(population.values[0])
            if not self._lasts() or not best > (1 + GAIN) * before:
                return [self.patch(population[[k]]) for k in range(min(count, len(population)))]
            before = best

    def patch(self, population: Population) -> Patch:
        """The one patch of a population, with its classes and change in float64."""
        change = self._exact.changes(population.patches.double(), population.pixels)[0]
        row, col = (int(place) for place in self._exact.places(population.pixels))
        top, left = (int(corner) for corner in self._exact.corners(population.pixels))
        rows = slice(max(0, -top), self._exact.image[0] - top)
        cols = slice(max(0, -left), self._exact.image[1] - left)
        values = population.patches[0, rows, cols].to(torch.uint8).numpy()
        return Patch(
            (row, col),
            (int(change.argmax()), int(change.argmin())),
            (max(0, top), max(0, left)),
            values,
            float(change.max() - change.min()),
        )

    def of_image(self, image: ByteArray, pixel: int) -> Patch:
        """The patch around a pixel, an index, of an image (H, W)."""
        at = torch.tensor([pixel])
        return self.patch(self._valued(self._fields.cut(image[None], at), at))

    def _given(self, given: Sequence[Patch]) -> Population:
        populations = [self._empty()]
        for patch in given:
            image = patch.pasted(np.zeros(self._fields.image, np.uint8))
            at = torch.tensor([patch.pixel[0] * image.shape[1] + patch.pixel[1]])
            populations.append(self._valued(self._fields.cut(image[None], at), at))
        return joined(populations)

    def _empty(self) -> Population:
        none = torch.zeros(0)
        return Population(torch.zeros(0, *self._fields.shape), none.long(), none)

    def _round(self, population: Population, images: ByteArray | None) -> Population:
        """Fresh patches climb to where the best ones are, and are then mixed with these."""
        climbing = self._climb(self._fresh(images), *FIRST).best(POPULATION, PER_PIXEL)
        climbing = self._moved(self._climb(climbing, *AGAIN))
        population = joined([population, climbing]).best(POPULATION, PER_PIXEL)
        for _ in range(MIXED):
            if self._lasts():
                mixed = self._moved(self._climb(self._mixed(population), *AGAIN))
                population = joined([population, mixed]).best(POPULATION, PER_PIXEL)
        return self._refined(population)

    def _lasts(self) -> bool:
        return self._budget.lasts(self._share)

    def _fresh(self, images: ByteArray | None) -> Population:
        """The best patches of some images, as the derivative by every pixel has it."""
        starts = fresh(self._random, IMAGES, self._fields.image, images)
        populations = [self._empty()]
        for part in np.split(starts, range(BATCH // 32, len(starts), BATCH // 32)):
            if len(populations) > 1 and not self._lasts():
                break
            slopes = self._slopes(part)
            at = slopes.topk(min(BEST, slopes.shape[1])).indices
            cut = self._fields.cut(part.repeat(at.shape[1], 0), at.flatten())
            populations.append(self._valued(cut, at.flatten()))
        return joined(populations).best(2 * POPULATION, PER_PIXEL)

    def _slopes(self, images: ByteArray) -> Tensor:
        """How far a step of each pixel moves two logits apart, to first order (N, H * W)."""
        x = torch.from_numpy(images).float().unsqueeze(1).requires_grad_()
        logits = self._network.logits(x)
        each = [
            torch.autograd.grad(logit.sum(), x, retain_graph=True)[0].flatten(1)
            for logit in logits.unbind(1)
        ]
        return _spread(torch.stack(each, 1)).nan_to_num(0.0, 0.0, 0.0)

    def _valued(self, patches: Tensor, pixels: Tensor) -> Population:
        """With what they attain, after the pixel is made even: one step up flips its last bit."""
        patches = self._even(patches, pixels)
        with torch.inference_mode():
            parts = zip(patches.split(BATCH), pixels.split(BATCH), strict=True)
            values = torch.cat([_spread(self._fields.changes(*part)) for part in parts])
        return Population(patches, pixels, values.nan_to_num(0.0, 0.0, 0.0).clone())

    def _even(self, patches: Tensor, pixels: Tensor) -> Tensor:
        flat = patches.flatten(1).clone()
        n, own = torch.arange(len(flat)), self._fields.own(pixels)
        flat[n, own] -= flat[n, own] % 2
        return flat.view_as(patches)

    def _climb(self, population: Population, steps: int, first: float, last: float) -> Population:
        """Gradient ascent; a patch that does not gain by it stays as it is."""
        self.climbed += len(population)
        x = population.patches.clone()
        inside = self._fields.inside(population.pixels)
        adam = Adam(x)
        for step in range(steps):
            if not self._lasts():
                break
            _spread(self._fields.changes(x, population.pixels)).sum().backward()
            adam.step(between((first, last), step / max(1, steps - 1)))
            self.steps += 1
            with torch.no_grad():
                x.clamp_(0, 255).mul_(inside)
        return better(population, self._valued(x.detach().round(), population.pixels))

    def _pass(
        self, population: Population, values: Sequence[int], *, steps: bool = False
    ) -> Population:
        """One byte after the other, in random order, to the best of some values.

        With `steps` the values are added to what the byte is.
        """
        count, tried = len(population), torch.tensor(values, dtype=torch.float32)
        inside = self._fields.inside(population.pixels).flatten(1)
        pixels = population.pixels.repeat(len(tried))
        for place in self._random.permutation(inside.shape[1]).tolist():
            if not self._lasts():
                break
            if not bool(inside[:, place].any()):
                continue
            patches = population.patches.repeat(len(tried), 1, 1)
            flat = patches.view(len(tried), count, -1)
            new = flat[:, :, place] * steps + tried[:, None]
            flat[:, :, place] = new.clamp(0, 255) * inside[:, place]
            changed = self._valued(patches, pixels)
            best = changed.values.view(len(tried), count).argmax(0)
            population = better(population, changed[best * count + torch.arange(count)])
        return population

    def _moved(self, population: Population) -> Population:
        """With the best patches at all other pixels that read a patch from the same place."""
        pixels = torch.arange(self._fields.image[0] * self._fields.image[1])
        own = self._fields.own(pixels)
        populations, best = [population], population.best(MOVED, 1)
        for patch, pixel in zip(best.patches, best.pixels, strict=True):
            if not self._lasts():
                break
            others = pixels[own == own[pixel]]
            patches = patch * self._fields.inside(others)
            populations.append(self._valued(patches, others).best(BEST, 1))
        return joined(populations)

    def _mixed(self, population: Population) -> Population:
        """Patches made of two of the population, or with a rectangle of noise."""
        height, width = self._fields.shape
        made: list[Tensor] = []
        parents: list[int] = []
        for _ in range(POPULATION):
            one, other = (int(self._random.integers(len(population))) for _ in range(2))
            top, bottom = np.sort(self._random.integers(0, height + 1, 2))
            left, right = np.sort(self._random.integers(0, width + 1, 2))
            child = population.patches[one].clone()
            noise = torch.from_numpy(255.0 * self._random.integers(0, 2, child.shape)).float()
            source = population.patches[other] if self._random.random() < 0.5 else noise
            child[top:bottom, left:right] = source[top:bottom, left:right]
            made.append(child)
            parents.append(one)
        pixels = population.pixels[parents]
        return self._valued(torch.stack(made) * self._fields.inside(pixels), pixels)

    def _refined(self, population: Population) -> Population:
        """With what coordinate search and small steps make of the best ones, until none helps."""
        head, best = population.best(REFINED, PER_PIXEL // 2), 0.0
        while self._lasts() and float(head.values.max()) > (1 + GAIN) * best:
            best = float(head.values.max())
            head = self._pass(self._pass(head, LEVELS), STEPS, steps=True)
            head = self._climb(head, *LAST)
        return joined([head, population]).best(POPULATION, PER_PIXEL)


def _spread(changes: Tensor) -> Tensor:
    """Largest difference of two classes' changes (N,), of changes (N, classes)."""
    return changes.amax(1) - changes.amin(1)
