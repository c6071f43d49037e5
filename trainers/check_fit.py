"""Whether a network, its loss and the data fit together: can it overfit a few patches?"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, RESULTS, dataset_folder, nnunet_folder, plans_in
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.named_classes import read_plans
from pe_nnunet.precision import autocast_for
from pe_nnunet.registration.names import TRAINERS, load_class
from pe_nnunet.sampling import seeded
from pe_nnunet.trainers.base import PETrainer
from pe_nnunet.trainers.check_start import data_identifier, no_embolus
from pe_nnunet.trainers.loaders import plain_loader, to_device
from pe_nnunet.trainers.monitor import labelled_pe, predicted_pe

SUFFICIENT_DICE = 0.9
STEPS_PER_EVALUATION = 20


@contextmanager
def temporary_trainer(
    dataset: str, trainer: str, plans: str, configuration: str, fold: str, device: str | None
) -> Iterator[PETrainer]:
    """One of our trainers on a preprocessed dataset, outside nnU-Net's own command; its results are deleted.

    Args:
        dataset: Number or name of a preprocessed dataset.
        trainer: Name of the class.
        plans: As nnU-Net's `-p`.
        configuration: As nnU-Net's `-c`.
        fold: A number, or `all`.
        device: Name of the device; None for CUDA where there is one.

    Raises:
        ConfigurationError: PE-TRAIN-007 if one of these does not exist.
    """
    if trainer not in TRAINERS:
        hint = did_you_mean(trainer, TRAINERS, f"known: {', '.join(TRAINERS)}")
        raise ConfigurationError("PE-TRAIN-007", f"{trainer} is none of our trainers", hint)
    root = dataset_folder(nnunet_folder(PREPROCESSED), dataset, "PE-TRAIN-007")
    path = root / f"{plans}.json"
    if not path.is_file():
        known = plans_in(root)
        hint = did_you_mean(plans, known, f"name plans with -p; there are {', '.join(known) or 'none'}")
        raise ConfigurationError("PE-TRAIN-007", f"{path} is not there", hint)
    content = read_plans(path)
    described = content["configurations"].get(configuration)
    if described is None or not (root / data_identifier(content["configurations"], configuration)).is_dir():
        hint = did_you_mean(configuration, content["configurations"]) if described is None else ""
        hint = hint or "preprocess first"
        raise ConfigurationError("PE-TRAIN-007", f"{configuration} of {plans} is not preprocessed", hint)
    facts = read_dataset_json(root, "PE-TRAIN-007")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with tempfile.TemporaryDirectory() as folder, _results_in(Path(folder)):
        number = int(fold) if fold.isdecimal() else fold
        made: PETrainer = load_class(trainer)(
            content | {"continue_training": False}, configuration, number, facts, where
        )
        yield made


@contextmanager
def _results_in(folder: Path) -> Iterator[None]:
    before = os.environ.get(RESULTS)
    os.environ[RESULTS] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[RESULTS]
        else:
            os.environ[RESULTS] = before


def check_fit(
    trainer: PETrainer, *, patches: int, max_steps: int, max_minutes: float, log: Callable[[str], None]
) -> str:
    """Train on a few patches around emboli, the same ones again and again, without augmentation.

    Args:
        trainer: Not initialised yet; loss, optimizer and learning rate are those of its recipe.
        patches: How many, at least a batch.
        max_steps: After which the patches must be learned.
        max_minutes: The same as a time.
        log: Is given a line now and then.

    Returns:
        How well they were learned, for people.

    Raises:
        ConfigurationError: PE-TRAIN-008 if no training case holds an embolus, PE-TRAIN-009 if the patches were not
            learned; it says what to look at.
    """
    trainer.recipe = replace(trainer.recipe, epochs=1, iterations=max_steps, ema_decay=0.0, weight_decay=0.0)
    trainer.initialize()
    batches = _fixed_batches(trainer, patches)
    truth = torch.cat([labelled_pe(trainer, batch["target"]) for batch in batches])
    log(f"{len(truth)} patches of {'x'.join(map(str, truth.shape[1:]))}, {float(truth.float().mean()):.2%} of them PE")
    losses: list[float] = []
    dice, started, late = 0.0, time.monotonic(), False
    while not late and len(losses) < max_steps and (not losses or np.isfinite(losses[-1])):
        trainer.network.train()
        losses.append(float(trainer.train_step(batches[len(losses) % len(batches)])["loss"]))
        late = time.monotonic() - started >= 60 * max_minutes
        if late or len(losses) % STEPS_PER_EVALUATION == 0 or len(losses) == max_steps:
            dice = _dice(trainer, batches)
            log(f"step {len(losses)}: loss {losses[-1]:.3f}, Dice {dice:.3f}")
            if dice >= SUFFICIENT_DICE:
                return f"learned: Dice {dice:.2f} after {len(losses)} steps, {time.monotonic() - started:.0f} s"
    name = type(trainer).__name__
    short = late and len(losses) < max_steps
    raise ConfigurationError("PE-TRAIN-009", f"{name} did not learn the patches", _why_not(losses, dice, short=short))


def _fixed_batches(trainer: PETrainer, patches: int) -> list[dict[str, Any]]:
    training, _ = trainer.get_tr_and_val_datasets()
    loader = plain_loader(trainer, training)
    sampler = loader.sampler
    if not sampler.positive_cases:
        raise no_embolus(len(sampler.cases), trainer.fold)
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
    trainer.network.eval()
    for batch in batches:
        with torch.no_grad(), autocast_for(trainer.device, trainer.recipe.cpu_bfloat16):
            predicted = predicted_pe(trainer, trainer.network(to_device(batch["data"], trainer.device))).cpu()
        truth = labelled_pe(trainer, batch["target"])
        both += int((predicted & truth).sum())
        either += int(predicted.sum() + truth.sum())
    trainer.network.train()
    return 2 * both / max(1, either)


def _why_not(losses: list[float], dice: float, *, short: bool) -> str:
    if not np.isfinite(losses[-1]):
        return f"the loss is {losses[-1]} after {len(losses)} steps: lower learning_rate, look for NaN in the images"
    if short:
        so_far = f"step {len(losses)}, loss {losses[0]:.3f} to {losses[-1]:.3f}, Dice {dice:.2f}"
        return f"the time was too short ({so_far}): more --minutes"
    fallen = losses[0] - min(losses)
    if fallen < 0.02 * abs(losses[0]):
        return f"the loss does not fall ({losses[0]:.3f} to {losses[-1]:.3f}): learning_rate, or the network's gradient"
    if dice == 0:
        return "the loss falls, but no PE is predicted: more steps, or labels that lie beside what they name"
    return f"Dice {dice:.2f} after {len(losses)} steps: more steps, or labels that contradict each other"
