"""Small random affine distortions of images."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from lastbit.training.recipe import Recipe


def distort(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
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
