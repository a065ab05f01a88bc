"""Sparse rows: a sum rounds once for each nonzero term, so a row of weights keeps only a few.

Gradual magnitude pruning (Zhu and Gupta, "To prune, or not to prune", 2017, equation 1), row by
row: how many terms a row keeps falls with the cube of the time that is left. A term's magnitude is
that of what it adds to the sum: the weight times the root mean square of the channel that it reads.
"""

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from lastbit.training.network import Copies, LiveNetwork, NormedConv
from lastbit.training.recipe import Recipe

Masks = dict[str, Tensor]
"""Name of a weight -> 1 where it may be nonzero, 0 elsewhere, of its shape."""


def limits(network: LiveNetwork, recipe: Recipe) -> dict[str, int]:
    """Name of each weight of the trunk whose rows are limited -> nonzero terms of a row."""
    return {f"{name}.weight": most for name, _, most in _limited(network, recipe)}


def keep(recipe: Recipe, terms: int, limit: int, time: float) -> int:
    """How many of a row's `terms` are kept when the fraction `time` of all steps is over."""
    left = 1 - (time - recipe.pruning_start) / (recipe.pruning_end - recipe.pruning_start)
    left = min(1.0, max(0.0, left))
    return min(terms, math.ceil(limit + max(0, terms - limit) * left**3))


@torch.no_grad()
def masks(network: LiveNetwork, recipe: Recipe, pixels: Tensor, time: float) -> Masks:
    """Choose the terms to keep from what `network` does with `pixels` (N, 1, 28, 28).

    Empty where the recipe limits no rows.
    """
    limited = list(_limited(network, recipe))
    if not limited:
        return {}
    sizes = _input_sizes(network, [layer for _, layer, _ in limited], pixels)
    found: Masks = {}
    for (name, layer, limit), size in zip(limited, sizes, strict=True):
        weight = layer.weight
        depthwise = weight.shape[1] == 1
        shape = (-1, 1) if depthwise else (1, -1)
        share = weight.abs() * size.view(*shape, *[1] * (weight.ndim - 2))
        rows = share.flatten(1)
        count = keep(recipe, rows.shape[1], limit, time)
        chosen = rows.topk(count, dim=1).indices
        mask = torch.zeros_like(rows).scatter_(1, chosen, 1.0) * (rows > 0)
        found[f"{name}.weight"] = mask.view_as(weight)
    return found


def _limited(
    network: LiveNetwork, recipe: Recipe
) -> Iterator[tuple[str, nn.Conv2d | nn.Linear, int]]:
    if recipe.trunk != "linear" or recipe.pruning_end <= 0:
        return
    *trunk, head, classifier = recipe.row_terms
    live = recipe.live_terms or trunk
    layers: list[tuple[str, str, NormedConv, int]] = []
    for number, block in enumerate(network.live_blocks()):
        expand, depthwise, project = live if number < recipe.live_blocks else trunk
        name, layout = f"blocks.{number}", block.layout
        layers.append((f"{name}.project", f"{layout.name}.{layout.project[0]}", block.project,
                       project))  # fmt: skip
        if block.expand is not None and layout.expand is not None:
            layers.append((f"{name}.expand", f"{layout.name}.{layout.expand[0]}", block.expand,
                           expand))  # fmt: skip
            layers.append((f"{name}.depthwise", f"{layout.name}.{layout.depthwise[0]}",
                           block.depthwise, depthwise))  # fmt: skip
    layers.append(("head", "conv_head", network.head, head))
    for name, full, layer, limit in layers:
        if not isinstance(layer, Copies):
            own = (terms for pattern, terms in recipe.terms_of if fnmatchcase(full, pattern))
            yield f"{name}.conv", layer.conv, next(own, limit)
    yield "classifier", network.classifier, classifier


def _input_sizes(
    network: LiveNetwork, layers: list[nn.Conv2d | nn.Linear], pixels: Tensor
) -> list[Tensor]:
    """Root mean square of each channel (C,) that each layer reads."""
    sizes: dict[nn.Module, Tensor] = {}

    def record(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        sizes[layer] = x.transpose(0, 1).flatten(1).square().mean(1).sqrt()

    handles = [layer.register_forward_pre_hook(record) for layer in layers]
    training = network.training
    try:
        network.eval()(pixels)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return [sizes[layer] for layer in layers]
