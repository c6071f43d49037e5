"""Training hyper-parameters and where they come from: class defaults, then plans, then the environment."""

from __future__ import annotations

from pe_nnunet.recipe.recipe import TrainingRecipe
from pe_nnunet.recipe.resolve import ENVIRONMENT_VARIABLE, resolve_recipe

__all__ = ["ENVIRONMENT_VARIABLE", "TrainingRecipe", "resolve_recipe"]
