"""The optimizer that a trainer's recipe asks for, under its schedule."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.trainers.schedule import WarmupCosine


def make_optimizer(
    parameters: Iterable[nn.Parameter], recipe: TrainingRecipe
) -> tuple[torch.optim.Optimizer, WarmupCosine]:
    """AdamW, or SGD with nnU-Net's momentum, under warm-up and cosine annealing."""
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(
            parameters, recipe.learning_rate, momentum=0.99, nesterov=True, weight_decay=recipe.weight_decay
        )
    schedule = WarmupCosine(
        optimizer,
        recipe.learning_rate,
        recipe.iterations,
        recipe.epochs,
        recipe.warmup_fraction,
        recipe.final_learning_rate_fraction,
    )
    return optimizer, schedule
