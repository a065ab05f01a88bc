"""The patch of an image in which the last bit of one pixel moves the logits most.

Behind a linear trunk (see `trunk`) the change D of the logits depends on a patch around the pixel
and on nothing else. What is searched for is the largest R = D_c - D_j over pixels, classes and
patches: by ascent and coordinate search from many patches side by side, each of the classes
that it moves most apart.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lastbit.graph import ByteArray, Network
from lastbit.witness.budget import Budget
from lastbit.witness.patch import Patch
from lastbit.witness.pool import Pool, better, joined
from lastbit.witness.starts import fresh
from lastbit.witness.torch_network import TorchNetwork
from lastbit.witness.windows import Windows

_TINY = torch.finfo(torch.float32).tiny

IMAGES = 192
"""Images of each round; every pixel's patch in them is a start, if it is good enough."""
BEST = 24
"""Pixels of each image that are started from, and places that a patch is moved to."""
POOL, PER_PIXEL = 96, 6
"""Patches that are improved side by side, and how many of them may be of one pixel."""
FIRST, AGAIN, LAST = (30, 40.0, 8.0), (40, 12.0, 1.0), (100, 4.0, 0.5)
"""Gradient ascent: steps, and their size at first and at last, in bytes."""
MOVED = 16
"""Patches that are moved to other pixels."""
MIXED = 3
"""How often in a round the patches of the pool are mixed with each other."""
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
        network: as `fold_trunk` makes it.
        random: of everything random.
        budget: once `share` of it is spent, what there is comes back.
        share: of the budget.

    Attributes:
        climbed: how many patches were climbed from.
    """

    def __init__(
        self, network: Network, random: np.random.Generator, budget: Budget, share: float
    ) -> None:
        self._network = TorchNetwork(network)
        self._windows = Windows(network, torch.float32)
        self._exact = Windows(network, torch.float64)
        self._random = random
        self._budget = budget
        self._share = share
        self.climbed = 0

    def search(
        self, images: ByteArray | None, given: Sequence[Patch] = (), count: int = 32
    ) -> list[Patch]:
        """The best patches, best first; rounds go on until one brings next to nothing.

        Args:
            images: uint8 (N, H, W) to start from, next to random ones.
            given: patches to start from too; they come back improved, or not at all.
            count: how many to return.
        """
        pool = self._given(given)
        before = 0.0
        while True:
            pool = self._round(pool, images)
            best = float(pool.values[0])
            if not self._lasts() or not best > (1 + GAIN) * before:
                return [self.patch(pool[[k]]) for k in range(min(count, len(pool)))]
            before = best

    def patch(self, pool: Pool) -> Patch:
        """The one patch of a pool, with its classes and change in float64."""
        change = self._exact.changes(pool.patches.double(), pool.pixels)[0]
        row, col = (int(place) for place in self._exact.places(pool.pixels))
        top, left = (int(corner) for corner in self._exact.corners(pool.pixels))
        rows = slice(max(0, -top), self._exact.image[0] - top)
        cols = slice(max(0, -left), self._exact.image[1] - left)
        values = pool.patches[0, rows, cols].to(torch.uint8).numpy()
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
        return self.patch(self._valued(self._windows.cut(image[None], at), at))

    def _given(self, given: Sequence[Patch]) -> Pool:
        pools = [self._empty()]
        for patch in given:
            image = patch.pasted(np.zeros(self._windows.image, np.uint8))
            at = torch.tensor([patch.pixel[0] * image.shape[1] + patch.pixel[1]])
            pools.append(self._valued(self._windows.cut(image[None], at), at))
        return joined(pools)

    def _empty(self) -> Pool:
        none = torch.zeros(0)
        return Pool(torch.zeros(0, *self._windows.shape), none.long(), none)

    def _round(self, pool: Pool, images: ByteArray | None) -> Pool:
        """Fresh patches climb to where the best ones are, and are then mixed with these."""
        climbing = self._climb(self._fresh(images), *FIRST).best(POOL, PER_PIXEL)
        climbing = self._moved(self._climb(climbing, *AGAIN))
        pool = joined([pool, climbing]).best(POOL, PER_PIXEL)
        for _ in range(MIXED):
            if self._lasts():
                mixed = self._moved(self._climb(self._mixed(pool), *AGAIN))
                pool = joined([pool, mixed]).best(POOL, PER_PIXEL)
        return self._refined(pool)

    def _lasts(self) -> bool:
        return self._budget.lasts(self._share)

    def _fresh(self, images: ByteArray | None) -> Pool:
        """The best patches of some images, as the derivative by every pixel has it."""
        starts = fresh(self._random, IMAGES, self._windows.image, images)
        pools = [self._empty()]
        for part in np.split(starts, range(BATCH // 32, len(starts), BATCH // 32)):
            if len(pools) > 1 and not self._lasts():
                break
            slopes = self._slopes(part)
            at = slopes.topk(min(BEST, slopes.shape[1])).indices
            cut = self._windows.cut(part.repeat(at.shape[1], 0), at.flatten())
            pools.append(self._valued(cut, at.flatten()))
        return joined(pools).best(2 * POOL, PER_PIXEL)

    def _slopes(self, images: ByteArray) -> Tensor:
        """How far a step of each pixel moves two logits apart, to first order (N, H * W)."""
        x = torch.from_numpy(images).float().unsqueeze(1).requires_grad_()
        logits = self._network.logits(x)
        each = [
            torch.autograd.grad(logit.sum(), x, retain_graph=True)[0].flatten(1)
            for logit in logits.unbind(1)
        ]
        return _spread(torch.stack(each, 1)).nan_to_num(0.0, 0.0, 0.0)

    def _valued(self, patches: Tensor, pixels: Tensor) -> Pool:
        """With what they attain, after the pixel is made even: one step up flips its last bit."""
        patches = self._even(patches, pixels)
        with torch.inference_mode():
            parts = zip(patches.split(BATCH), pixels.split(BATCH), strict=True)
            values = torch.cat([_spread(self._windows.changes(*part)) for part in parts])
        return Pool(patches, pixels, values.nan_to_num(0.0, 0.0, 0.0).clone())

    def _even(self, patches: Tensor, pixels: Tensor) -> Tensor:
        flat = patches.flatten(1).clone()
        n, own = torch.arange(len(flat)), self._windows.own(pixels)
        flat[n, own] -= flat[n, own] % 2
        return flat.view_as(patches)

    def _climb(self, pool: Pool, steps: int, first: float, last: float) -> Pool:
        """Gradient ascent; a patch that does not gain by it stays as it is."""
        self.climbed += len(pool)
        x = pool.patches.clone().requires_grad_()
        inside = self._windows.inside(pool.pixels)
        optimiser = torch.optim.Adam([x], betas=(0.8, 0.95), maximize=True)
        for step in range(steps):
            if not self._lasts():
                break
            optimiser.param_groups[0]["lr"] = first * (last / first) ** (step / max(1, steps - 1))
            optimiser.zero_grad()
            _spread(self._windows.changes(x, pool.pixels)).sum().backward()
            assert x.grad is not None
            x.grad.nan_to_num_(0.0, 0.0, 0.0)
            x.grad /= x.grad.flatten(1).abs().amax(1).clamp_min(_TINY)[:, None, None]
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0, 255).mul_(inside)
        return better(pool, self._valued(x.detach().round(), pool.pixels))

    def _pass(self, pool: Pool, values: Sequence[int], *, steps: bool = False) -> Pool:
        """One byte after the other, in random order, to the best of some values.

        With `steps` the values are added to what the byte is.
        """
        count, tried = len(pool), torch.tensor(values, dtype=torch.float32)
        inside = self._windows.inside(pool.pixels).flatten(1)
        pixels = pool.pixels.repeat(len(tried))
        for place in self._random.permutation(inside.shape[1]).tolist():
            if not self._lasts():
                break
            if not bool(inside[:, place].any()):
                continue
            patches = pool.patches.repeat(len(tried), 1, 1)
            flat = patches.view(len(tried), count, -1)
            new = flat[:, :, place] * steps + tried[:, None]
            flat[:, :, place] = new.clamp(0, 255) * inside[:, place]
            changed = self._valued(patches, pixels)
            best = changed.values.view(len(tried), count).argmax(0)
            pool = better(pool, changed[best * count + torch.arange(count)])
        return pool

    def _moved(self, pool: Pool) -> Pool:
        """With the best patches at all other pixels that read a patch from the same place."""
        pixels = torch.arange(self._windows.image[0] * self._windows.image[1])
        own = self._windows.own(pixels)
        pools, best = [pool], pool.best(MOVED, 1)
        for patch, pixel in zip(best.patches, best.pixels, strict=True):
            others = pixels[own == own[pixel]]
            patches = patch * self._windows.inside(others)
            pools.append(self._valued(patches, others).best(BEST, 1))
        return joined(pools)

    def _mixed(self, pool: Pool) -> Pool:
        """Patches made of two of the pool, or with a rectangle of noise."""
        height, width = self._windows.shape
        made: list[Tensor] = []
        parents: list[int] = []
        for _ in range(POOL):
            one, other = (int(self._random.integers(len(pool))) for _ in range(2))
            top, bottom = np.sort(self._random.integers(0, height + 1, 2))
            left, right = np.sort(self._random.integers(0, width + 1, 2))
            child = pool.patches[one].clone()
            noise = torch.from_numpy(255.0 * self._random.integers(0, 2, child.shape)).float()
            source = pool.patches[other] if self._random.random() < 0.5 else noise
            child[top:bottom, left:right] = source[top:bottom, left:right]
            made.append(child)
            parents.append(one)
        pixels = pool.pixels[parents]
        return self._valued(torch.stack(made) * self._windows.inside(pixels), pixels)

    def _refined(self, pool: Pool) -> Pool:
        """With what coordinate search and small steps make of the best ones, until none helps."""
        head, best = pool.best(REFINED, PER_PIXEL // 2), 0.0
        while self._lasts() and float(head.values.max()) > (1 + GAIN) * best:
            best = float(head.values.max())
            head = self._pass(self._pass(head, LEVELS), STEPS, steps=True)
            head = self._climb(head, *LAST)
        return joined([head, pool]).best(POOL, PER_PIXEL)


def _spread(changes: Tensor) -> Tensor:
    """Largest difference of two classes' changes (N,), of changes (N, classes)."""
    return changes.amax(1) - changes.amin(1)
