"""Small random affine distortions of images."""

from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional


class Distortion(Protocol):
    """The largest amounts, as `Recipe` and `DeepRecipe` have them."""

    @property
    def rotation(self) -> float: ...
    @property
    def scaling(self) -> float: ...
    @property
    def shear(self) -> float: ...
    @property
    def shift(self) -> float: ...


def distort(images: Tensor, recipe: Distortion, generator: Generator) -> Tensor:
    """Rotate, scale, shear and shift each image (N, 1, H, W) by its own random amounts.

    `generator` is on the CPU, so that a seed means the same on every device.
    """
    count = len(images)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

    angle = uniform(count) * recipe.rotation
    scale = 1 + uniform(count) * recipe.scaling
    shear = uniform(count) * recipe.shear
    shift = uniform(count, 2) * (recipe.shift / (images.shape[-1] / 2))
    rows = [
        torch.stack([angle.cos() * scale, -angle.sin() * scale + shear, shift[:, 0]], 1),
        torch.stack([angle.sin() * scale, angle.cos() * scale, shift[:, 1]], 1),
    ]
    matrices = torch.stack(rows, 1).to(images.device)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
