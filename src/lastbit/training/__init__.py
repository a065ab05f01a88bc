"""Training: recipes, and how a recipe becomes a model. PyTorch is needed for the latter only."""

from lastbit.training.recipe import (
    RECIPES as RECIPES,
    Recipe as Recipe,
    read_recipe as read_recipe,
)
from lastbit.training.train import Trained as Trained, train as train
