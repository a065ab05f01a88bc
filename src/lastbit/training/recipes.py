"""All recipes by name, of both kinds, and reading either from a file."""

import json
from pathlib import Path

from lastbit.errors import UsageError
from lastbit.training.deep.recipe import DEEP, DeepRecipe
from lastbit.training.recipe import ONE, PLAIN, TIGHT, ZERO, Recipe

AnyRecipe = Recipe | DeepRecipe

RECIPES: dict[str, AnyRecipe] = {recipe.name: recipe for recipe in (TIGHT, PLAIN, ONE, ZERO, DEEP)}


def recipe_from_json(text: str | bytes, *, where: str = "") -> AnyRecipe:
    """Read a recipe of the kind that its fields are of.

    Raises:
        UsageError: it is not JSON, or its fields are those of no recipe.
    """
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise UsageError(f"this is not a recipe: {error}", where=where) from error
    deep = isinstance(fields, dict) and "reach" in fields
    return (DeepRecipe if deep else Recipe).from_json(text, where=where)


def read_recipe(path: Path) -> AnyRecipe:
    """Read a recipe from a file.

    Raises:
        UsageError: it cannot be read, or is not a recipe.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return recipe_from_json(text, where=str(path))
