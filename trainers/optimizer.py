"""The optimizer that a recipe asks for, and its learning rate: a linear rise, then cosine annealing, by step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.trainers.muon import Muon


def warmup_cosine(step: int, *, steps: int, warmup_steps: int, final_fraction: float) -> float:
    """The learning rate of a step, as a share of the highest one.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017 (without restarts); linear warm-up as in Goyal et al. 2017.

    Args:
        step: Counted from 0.
        steps: Of the whole training; the rate stays as it is after them.
        warmup_steps: The first ones, in which the rate rises from near 0.
        final_fraction: The last value.

    Example:
        >>> [warmup_cosine(step, steps=4, warmup_steps=2, final_fraction=0.1) for step in (0, 1, 2, 4)]
        [0.5, 1.0, 1.0, 0.1]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * progress)) / 2


class StepwiseLambdaLR(LambdaLR):
    """Torch's `LambdaLR`, counted in training steps; nnU-Net tells it the epoch as each one starts.

    Args:
        optimizer: Its present rate is the one that the factor multiplies.
        factor: Of a step, counted from 0.
        steps_per_epoch: Training steps an epoch.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, factor: Callable[[int], float], steps_per_epoch: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        super().__init__(optimizer, factor)

    def step(self, epoch: int | None = None) -> None:
        """Go to the next step, or to the first one of an epoch.

        Args:
            epoch: Counted from 0.
        """
        if epoch is None:
            super().step()
            return
        self.last_epoch = epoch * self.steps_per_epoch - 1  # torch's name for the last step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the optimizer has made no step yet
            super().step()


def make_optimizer(
    parameters: Iterable[nn.Parameter], recipe: TrainingRecipe
) -> tuple[torch.optim.Optimizer, StepwiseLambdaLR]:
    """Muon, AdamW, or SGD with nnU-Net's momentum, under warm-up and cosine annealing."""
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "muon":
        optimizer = Muon(parameters, recipe.learning_rate, recipe.weight_decay)
    elif recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(
            parameters, recipe.learning_rate, momentum=0.99, nesterov=True, weight_decay=recipe.weight_decay
        )
    steps = recipe.iterations * recipe.epochs
    factor = partial(
        warmup_cosine,
        steps=steps,
        warmup_steps=math.ceil(steps * recipe.warmup_fraction),
        final_fraction=recipe.final_learning_rate_fraction,
    )
    return optimizer, StepwiseLambdaLR(optimizer, factor, recipe.iterations)


def backward_and_step(
    loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer, scaler: Any, clip_norm: float
) -> None:
    """One step down the loss, with clipped gradients; none where the loss is not finite.

    Args:
        loss: Of a batch.
        network: Whose parameters are changed.
        optimizer: Over them; their gradients are zero.
        scaler: Torch's `GradScaler` under half precision, else None.
        clip_norm: Norm to which the gradients are clipped; 0 leaves them as they are.
    """
    if scaler is None:
        if not loss.isfinite():
            return  # the caller sees the loss; a scaler leaves out such a step itself
        loss.backward()  # type: ignore[no-untyped-call]
        _clip(network, clip_norm)
        optimizer.step()
        return
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    _clip(network, clip_norm)
    scaler.step(optimizer)
    scaler.update()


def _clip(network: nn.Module, norm: float) -> None:
    if norm > 0:
        nn.utils.clip_grad_norm_(network.parameters(), norm)


def require_finite(loss: Any) -> None:
    """End a training whose loss is NaN or infinite; a scaler would make its scale smaller instead.

    Args:
        loss: A number, or an array of one.

    Raises:
        ConfigurationError: PE-TRAIN-031.
    """
    if not math.isfinite(loss):
        raise ConfigurationError(
            "PE-TRAIN-031",
            f"the loss is {float(loss)}; the weights are those before this step, and the last checkpoint is intact",
            "lower learning_rate, or set cpu_bfloat16=false, and go on with --c; or look for NaN in the images",
        )
