"""Whether a network, its loss and the data fit together: can a few patches be learned by heart?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.precision import autocast_for
from pe_nnunet.sampling import seeded
from pe_nnunet.trainers.base import PETrainer

LEARNED_DICE = 0.9
LOOKS = 20  # steps between two looks at the Dice
Teller = Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """What came of it.

    Attributes:
        learned: Whether the patches were learned.
        dice: Of PE over all patches, at the end.
        first_loss: Before the first step.
        last_loss: Of the last step.
        steps: Steps made.
        seconds: Time they took.
        reason: Why not, and what to look at; empty if learned.
    """

    learned: bool
    dice: float
    first_loss: float
    last_loss: float
    steps: int
    seconds: float
    reason: str


def check_fit(trainer: PETrainer, *, patches: int, steps: int, minutes: float, tell: Teller) -> Fit:
    """Train on a few patches around emboli, the same ones again and again, without augmentation.

    Args:
        trainer: Not initialised yet; loss, optimizer and learning rate are those of its recipe.
        patches: How many, at least a batch.
        steps: Most steps.
        minutes: Most time.
        tell: Is given a line now and then.

    Raises:
        ConfigurationError: PE-TRAIN-008 if no training case holds an embolus.
    """
    trainer.recipe = replace(trainer.recipe, epochs=1, iterations=steps, ema_decay=0.0, weight_decay=0.0)
    trainer.initialize()
    batches = _fixed_batches(trainer, patches)
    truth = torch.cat([trainer.pe_of(batch["target"]) for batch in batches])
    tell(f"{len(truth)} patches of {'x'.join(map(str, truth.shape[1:]))}, {float(truth.float().mean()):.2%} of them PE")
    losses: list[float] = []
    dice, until, started = 0.0, time.monotonic() + 60 * minutes, time.monotonic()
    while len(losses) < steps and time.monotonic() < until and (not losses or np.isfinite(losses[-1])):
        trainer.network.train()
        losses.append(float(trainer.train_step(batches[len(losses) % len(batches)])["loss"]))
        if len(losses) % LOOKS == 0 or len(losses) == steps:
            dice = _dice(trainer, batches)
            tell(f"step {len(losses)}: loss {losses[-1]:.3f}, Dice {dice:.3f}")
            if dice >= LEARNED_DICE:
                break
    learned = dice >= LEARNED_DICE
    reason = "" if learned else _why_not(losses, dice)
    return Fit(learned, dice, losses[0], losses[-1], len(losses), time.monotonic() - started, reason)


def _fixed_batches(trainer: PETrainer, patches: int) -> list[dict[str, Any]]:
    training, _ = trainer.get_tr_and_val_datasets()
    loader = trainer.plain_loader(training)
    sampler = loader.sampler
    if not sampler.positive_cases:
        raise ConfigurationError(
            "PE-TRAIN-008",
            f"none of the {len(sampler.cases)} training cases of fold {trainer.fold} holds an embolus",
            "look at the labels with pe-nnunet analyse, and at splits_final.json",
        )
    batches = []
    with seeded(trainer.recipe.seed) as rng:
        for _ in range(max(1, round(patches / trainer.batch_size))):
            _, images, targets = zip(
                *(loader.sample(sampler.draw_positive(rng), rng) for _ in range(trainer.batch_size)), strict=True
            )
            target = (
                [torch.stack(scale) for scale in zip(*targets, strict=True)]
                if isinstance(targets[0], list)
                else torch.stack(targets)
            )
            batches.append({"data": torch.stack(images), "target": target})
    return batches


def _dice(trainer: PETrainer, batches: list[dict[str, Any]]) -> float:
    """Of PE over all patches, predicted as in validation."""
    both = either = 0
    with _evaluating(trainer):
        for batch in batches:
            with autocast_for(trainer.device, trainer.recipe.cpu_bfloat16):
                predicted = trainer.predicted_pe(trainer.network(batch["data"].to(trainer.device))).cpu()
            truth = trainer.pe_of(batch["target"])
            both += int((predicted & truth).sum())
            either += int(predicted.sum() + truth.sum())
    return 2 * both / max(1, either)


@contextmanager
def _evaluating(trainer: PETrainer) -> Iterator[None]:
    trainer.network.eval()
    with torch.no_grad():
        yield
    trainer.network.train()


def _why_not(losses: list[float], dice: float) -> str:
    if not np.isfinite(losses[-1]):
        return f"the loss is {losses[-1]} after {len(losses)} steps: lower learning_rate, look for NaN in the images"
    fallen = losses[0] - min(losses)
    if fallen < 0.02 * abs(losses[0]):
        return f"the loss does not fall ({losses[0]:.3f} to {losses[-1]:.3f}): learning_rate, or the network's gradient"
    if dice == 0:
        return "the loss falls, but no PE is predicted: more steps, or labels that lie beside what they name"
    return f"Dice {dice:.2f} after {len(losses)} steps: more steps, or labels that contradict each other"
