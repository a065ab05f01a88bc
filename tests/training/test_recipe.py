"""Recipes as files: what is written is read back, and what makes no sense is refused."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lastbit.errors import UsageError
from lastbit.training import RECIPES, AnyRecipe, Recipe, read_recipe
from lastbit.training.recipe import TIGHT


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_round_trip(recipe: AnyRecipe, tmp_path: Path):
    assert type(recipe).from_json(recipe.to_json()) == recipe
    odd = replace(recipe, seed=2**70, learning_rate=0.1 + 0.2, gradient_clip=2.0**-1074)
    path = tmp_path / "recipe.json"
    path.write_text(odd.to_json())
    assert read_recipe(path) == odd


def changed(**changes: object) -> str:
    return json.dumps({**asdict(RECIPES["tight"]), **changes})


def without(field: str) -> str:
    fields = asdict(RECIPES["tight"])
    del fields[field]
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is not a recipe: Expecting value"),
        ("[]", "this is not a recipe"),
        ("null", "this is not a recipe"),
        (b"\xff\xfe\x00", "this is not a recipe"),
        (without("seed"), "missing 1 required positional argument: 'seed'"),
        (without("widths"), "'widths'"),
        (changed(colour=3), "unexpected keyword argument 'colour'"),
        (changed(widths=5), "this is not a recipe"),
        (changed(widths=[1, 1, 1]), "do not fit into EfficientNet-B0"),
        (changed(widths=[17, 24, 40, 56, 56, 32, 32]), "do not fit into EfficientNet-B0"),
        (changed(widths=[0, 24, 40, 56, 56, 32, 32]), "do not fit into EfficientNet-B0"),
        (changed(head=1281), "do not fit into EfficientNet-B0"),
        (changed(expansion=6.5), "do not fit into EfficientNet-B0"),
        (changed(expansion=float("nan")), "do not fit into EfficientNet-B0"),
        (changed(head="48"), "this is not a recipe"),
        (changed(batch_norm_epochs=0), "1 <= batch_norm_epochs <= epochs"),
        (changed(batch_norm_epochs=47), "1 <= batch_norm_epochs <= epochs"),
        (changed(batch_size=0), "1 <= batch_size"),
        (changed(trunk="cubic"), "trunk is 'linear' or 'silu'"),
        (changed(activation_range=0.0), "needs an activation_range above 0"),
        (changed(activation_range=float("nan")), "needs an activation_range above 0"),
        (changed(activation_range=float("inf")), "needs an activation_range above 0"),
        (changed(live_blocks=0), "1 <= live_blocks < 16"),
        (changed(live_blocks=16), "1 <= live_blocks < 16"),
        (changed(live_blocks=2), "only a linear trunk can be trained on its bound"),
        (changed(absorb=True), "only a linear trunk can be trained on its bound"),
        (changed(live_blocks=3, bound_weight=0), "begins behind a block without a shortcut"),
        (changed(live_terms=[1, 2]), "live_terms are three numbers"),
        (changed(live_terms=[0, 2, 3]), "live_terms are three numbers"),
        (changed(absorb=True, bound_weight=0, fold_batch_norm=False), "need fold_batch_norm"),
        (changed(trunk="silu"), "only a linear trunk can be trained on its bound"),
    ],
)
def test_bad_recipes_are_refused_with_the_reason(text: str | bytes, message: str):
    with pytest.raises(UsageError) as caught:
        Recipe.from_json(text, where="my.json")
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    path = tmp_path / "recipe.json"
    with pytest.raises(UsageError, match="cannot be read: No such file") as caught:
        read_recipe(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("epochs", "batch_norm_epochs"), [(1, 1), (2, 1), (6, 1), (21, 4), (42, 7), (84, 14)]
)
def test_phases_stay_in_proportion(epochs: int, batch_norm_epochs: int):
    recipe = TIGHT.with_epochs(epochs)
    assert (recipe.epochs, recipe.batch_norm_epochs) == (epochs, batch_norm_epochs)
    assert replace(recipe, epochs=42, batch_norm_epochs=7) == TIGHT
