"""Recipes, networks and data small enough to train many times in a minute."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from lastbit.data import LabelledImages
from lastbit.training import RECIPES, Recipe
from lastbit.training.deep.layers import Blocks, SqueezeExcite, nearest
from lastbit.training.deep.network import DeepNetwork
from lastbit.training.deep.recipe import DEEP, DeepRecipe
from lastbit.training.network import Copies, LiveNetwork, Unshifted

WIDTHS = (4, 5, 4, 6, 7, 4, 5)
PLAIN_SIZED = {"head": 9, "squeezed": 3, "batch_size": 20, "recalibration_batches": 2}


def small_recipe(name: Literal["tight", "plain", "zero"], **changes: object) -> Recipe:
    """The recipe of that name with few live channels; a linear trunk sees its bound soon."""
    if name == "tight":
        changes = {
            "batch_norm_epochs": 2,
            "epochs": 4,
            "bound_columns": 4,
            "bound_every": 2,
            **changes,
        }
    else:
        changes = {"batch_norm_epochs": 1, "epochs": 1, **changes}
    small = {"widths": WIDTHS, "expansion": 1.5, "warmup_steps": 1, **PLAIN_SIZED}
    recipe = RECIPES[name]
    assert isinstance(recipe, Recipe)
    return replace(recipe, **{**small, **changes})  # pyright: ignore[reportArgumentType]


def random_network(recipe: Recipe, seed: int) -> LiveNetwork:
    """A network for inference whose every tensor is random, so that none can be mistaken.

    `gain` keeps values from exploding and from vanishing: an ordinary SiLU and gate shrink them.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(parameter: torch.Tensor, low: float, high: float) -> None:
        parameter.copy_(torch.rand(parameter.shape, generator=generator) * (high - low) + low)

    torch.manual_seed(seed)
    network = LiveNetwork(recipe)
    with torch.no_grad():
        copies = [layer for layer in network.modules() if isinstance(layer, Copies)]
        fixed = {part for layer in copies for part in layer.modules()}
        gains = {layer.bn for layer in network.modules() if isinstance(layer, Unshifted)}
        for layer in network.modules():
            if layer in fixed:
                continue
            if layer in gains:
                uniform(layer.weight, 0.5, 1.5)  # pyright: ignore[reportArgumentType]
                continue
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None and layer.running_var is not None
                uniform(layer.weight, 0.5, 1.5)
                uniform(layer.bias, -0.2, 0.2)
                uniform(layer.running_mean, -0.2, 0.2)
                uniform(layer.running_var, 0.5, 1.5)
            elif isinstance(layer, (nn.Conv2d, nn.Linear)):
                gain = 0.8 if network.linear else 3
                reach = (3 * gain / layer.weight[0].numel()) ** 0.5
                uniform(layer.weight, -reach, reach)
                if layer.bias is not None:
                    uniform(layer.bias, -0.2, 0.2)
    return network.eval()


def random_images(count: int, seed: int) -> np.ndarray:
    """Bytes (count, 1, 28, 28); the first is all black, the second all white."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)
    images[0], images[1] = 0, 255
    return images


def random_mnist(count: int, seed: int) -> LabelledImages:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count).astype(np.uint8)
    return LabelledImages(
        random.integers(0, 256, (count, 28, 28), dtype=np.uint8), labels, "random"
    )


def small_deep(**changes: object) -> DeepRecipe:
    """The recipe of `deep`, so narrow that a step takes a moment."""
    small = {
        "stem": 6,
        "widths": (4, 5, 6, 8, 9, 10, 12),
        "head": 30,
        "expand_terms": 3,
        "project_rows": 2,
        "class_terms": 3,
        "epochs": 2,
        "batch_size": 10,
        "warmup_steps": 2,
        "recalibration_batches": 2,
        "ratio_start": 0.0,
        "ratio_every": 2,
        "attained_images": 4,
        "checkpoint_steps": 3,
    }
    return replace(DEEP, **{**small, **changes})  # pyright: ignore[reportArgumentType]


def random_deep(recipe: DeepRecipe, seed: int) -> DeepNetwork:
    """A network for inference that is far from its start, every part of it random."""
    torch.manual_seed(seed)
    network = DeepNetwork(recipe)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.2)
        for layer in network.modules():
            if isinstance(layer, Blocks):
                layer.raw.copy_(nearest(layer.raw * (layer.raw != 0)))
            elif isinstance(layer, SqueezeExcite):
                layer.reduce.copy_(nearest(layer.reduce))
                layer.expand.copy_(nearest(layer.expand))
        pixels = torch.rand(40, 1, 28, 28)
        for _ in range(3):
            network.train()(pixels)
    return network.eval()
