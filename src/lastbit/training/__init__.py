"""Training: recipes, and how a recipe becomes a model. PyTorch is needed for the latter only."""

from lastbit.training.deep.recipe import DeepRecipe as DeepRecipe
from lastbit.training.recipe import Recipe as Recipe
from lastbit.training.recipes import (
    RECIPES as RECIPES,
    AnyRecipe as AnyRecipe,
    read_recipe as read_recipe,
    recipe_from_json as recipe_from_json,
)
from lastbit.training.train import Trained as Trained, train as train
