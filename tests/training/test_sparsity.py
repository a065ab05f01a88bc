"""Rows that lose their terms: when, which, and that what is lost stays lost."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch

from lastbit.errors import UsageError
from lastbit.training import sparsity
from lastbit.training.recipe import TIGHT, Recipe
from training.small import random_network, small_recipe

RECIPE = small_recipe(
    "tight", copies=(), row_terms=(2, 5, 3, 2, 4), pruning_start=0.25, pruning_end=0.75
)


def test_rows_lose_terms_with_the_cube_of_the_time_left():
    kept = [sparsity.keep(RECIPE, 24, 4, step / 100) for step in range(101)]
    assert kept[:26] == [24] * 26 and kept[75:] == [4] * 26
    assert all(a >= b for a, b in pairwise(kept))
    assert kept[50] == 4 + 20 / 8 + 0.5  # 20 (1/2)^3 = 2.5 more, rounded up
    assert sparsity.keep(RECIPE, 3, 4, 1.0) == 3


@pytest.mark.parametrize("seed", range(3))
def test_each_row_keeps_what_adds_most_to_its_sum(seed: int):
    network = random_network(RECIPE, seed)
    pixels = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    limits = sparsity.limits(network, RECIPE)
    masks = sparsity.masks(network, RECIPE, pixels, 1.0)
    assert masks.keys() == limits.keys()
    read: dict[str, torch.Tensor] = {}

    def record(name: str, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        read[name] = inputs[0]

    for name in limits:
        network.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(
            partial(record, name)
        )
    network(pixels)
    for name, mask in masks.items():
        weight = network.get_parameter(name).detach()
        size = read[name].transpose(0, 1).flatten(1).square().mean(1).sqrt()
        share = weight.abs() * (
            size.view(-1, 1, 1, 1)
            if weight.shape[1] == 1
            else size.view(1, -1, *[1] * (weight.ndim - 2))
        )
        for row, kept in zip(share.flatten(1), mask.flatten(1), strict=True):
            terms = min(limits[name], row.numel())
            assert set(kept.tolist()) <= {0.0, 1.0} and kept.sum() == terms
            assert row[kept == 1].min() >= row.sort(descending=True).values[terms - 1]


def test_what_is_0_is_never_kept():
    network = random_network(RECIPE, 0)
    with torch.no_grad():
        network.head.conv.weight[3] = 0
    mask = sparsity.masks(network, RECIPE, torch.rand(2, 1, 28, 28), 1.0)["head.conv.weight"]
    assert not mask[3].any() and mask[2].sum() == 2


def test_rows_that_copy_have_no_limit():
    recipe = replace(RECIPE, copies=("blocks.1.1.conv_dw", "conv_head"))
    limits = sparsity.limits(random_network(recipe, 0), recipe)
    every = sparsity.limits(random_network(RECIPE, 0), RECIPE)
    assert every.keys() - limits.keys() == {"blocks.2.depthwise.conv.weight", "head.conv.weight"}


def test_live_blocks_may_have_limits_of_their_own():
    recipe = replace(RECIPE, live_blocks=2, bound_weight=0.0, live_terms=(1, 7, 6), terms_of=())
    limits = sparsity.limits(random_network(recipe, 0), recipe)
    named = {name.removesuffix(".conv.weight"): most for name, most in limits.items()}
    parts = ("expand", "depthwise", "project")
    assert [named[f"blocks.1.{part}"] for part in parts] == [1, 7, 6]
    assert [named[f"blocks.2.{part}"] for part in parts] == [2, 5, 3]
    assert (named["blocks.0.project"], named["head"], named["classifier.weight"]) == (6, 2, 4)


def test_layers_may_have_limits_by_their_names():
    """Names in EfficientNet-B0; the first pattern that fits counts."""
    terms_of = (("blocks.1.1.conv_dw", 8), ("blocks.1.?.conv_dw", 7), ("conv_head", 1))
    recipe = replace(RECIPE, terms_of=terms_of)
    limits = sparsity.limits(random_network(recipe, 0), recipe)
    named = {name.removesuffix(".conv.weight"): most for name, most in limits.items()}
    assert [named[f"blocks.{k}.depthwise"] for k in (1, 2, 3)] == [7, 8, 5]
    assert (named["head"], named["blocks.2.project"]) == (1, 3)


@pytest.mark.parametrize("recipe", [replace(RECIPE, pruning_end=0.0), small_recipe("plain")])
def test_without_pruning_there_are_no_limits(recipe: Recipe):
    assert sparsity.limits(random_network(recipe, 0), recipe) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_terms": (1, 2, 3, 4)}, "five numbers"),
        ({"row_terms": (1, 2, 3, 4, 0)}, "five numbers of at least 1"),
        ({"pruning_start": 0.6}, "pruning_start < pruning_end"),
        ({"pruning_end": 1.1}, "pruning_end <= 1"),
        ({"weight_bits": 25}, "weight_bits <= 24"),
        ({"terms_of": (("conv_head", 0),)}, "terms_of"),
    ],
)
def test_recipes_that_make_no_sense(changes: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        replace(TIGHT, **changes)  # pyright: ignore[reportArgumentType]
