"""Train one model for a given wall time; a step of `equal_budget.py`, which starts it.

The length of the training is set from the speed of a few steps, so that its learning rate schedule fits into the time;
the clock ends it in any case, with the weights of that moment.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import torch
from nnunetv2.run.run_training import get_trainer_from_args

from pe_nnunet.registration import register
from pe_nnunet.trainers.workers import stop_processes

EPOCHS, PILOT_STEPS, WARM_STEPS, VALIDATION_BATCHES = 20, 6, 2, 2
AIM = 0.95  # of the time, for what a pilot does not see


class TimeIsUpError(Exception):
    """Ends the training from within a step."""


def build(args: argparse.Namespace, iterations: int):
    """A trainer whose epochs are this long; ours read their recipe, nnU-Net's own have attributes."""
    settings = f"epochs={EPOCHS} iterations={iterations} validation_iterations={VALIDATION_BATCHES}"
    os.environ["PE_NNUNET_RECIPE"] = f"test_time_mirroring=no {args.recipe} {settings} seed={args.seed}"
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002 - nnU-Net's loaders draw from it
    trainer = get_trainer_from_args(
        args.dataset, args.configuration, args.fold, args.trainer, args.plans, False, torch.device(args.device)
    )
    trainer.num_epochs, trainer.num_iterations_per_epoch = EPOCHS, iterations
    trainer.num_val_iterations_per_epoch = VALIDATION_BATCHES
    return trainer


def seconds_a_step(trainer) -> float:
    """Of batch and step together, as training has them."""
    trainer.initialize()
    batches, others = trainer.get_dataloaders()
    trainer.network.train()
    times = []
    for _ in range(PILOT_STEPS):
        start = time.perf_counter()
        trainer.train_step(next(batches))
        times.append(time.perf_counter() - start)
    for loader in (batches, others):
        stop_processes(loader)
    return float(np.mean(times[WARM_STEPS:]))


def main() -> None:
    """Train and write `trained.json` beside the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("dataset", "configuration", "trainer", "plans", "recipe", "device"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    args = parser.parse_args()
    register()
    pace = seconds_a_step(build(args, 1))
    iterations = max(1, int(AIM * 60 * args.minutes / pace / EPOCHS))
    trainer = build(args, iterations)
    steps, curve, started = 0, [], time.monotonic()
    step, epoch_end = trainer.train_step, trainer.on_epoch_end

    def counted(batch):
        nonlocal steps
        if time.monotonic() - started > 60 * args.minutes:
            raise TimeIsUpError
        steps += 1
        return step(batch)

    def recorded():
        epoch_end()
        dice = trainer.logger.get_value("mean_fg_dice", step=-1)
        curve.append(
            [time.monotonic() - started, steps, float(trainer.logger.get_value("train_losses", step=-1)), dice]
        )

    trainer.train_step, trainer.on_epoch_end = counted, recorded
    try:
        trainer.run_training()
    except TimeIsUpError:
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    seconds = time.monotonic() - started
    facts = {
        "folder": str(Path(trainer.output_folder).parent),
        "seconds": seconds,
        "steps": steps,
        "planned_steps": EPOCHS * iterations,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "curve": [[float(value) for value in row] for row in curve],
    }
    (Path(trainer.output_folder) / "trained.json").write_text(json.dumps(facts))
    print(f"{steps} steps in {seconds:.0f} s")


if __name__ == "__main__":
    main()
