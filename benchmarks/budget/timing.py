"""Train for a wall time: a short rehearsal says how many steps fit, so that every schedule runs to its end."""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from budget.arms import RECIPE, Arm
from budget.data import Cohort, run

EPOCHS, VALIDATION_SHARE = 20, 0.03
REHEARSAL = {"epochs": 2, "iterations": 16, "validation_iterations": 2}
FIRST = 4  # steps that also wait for workers to start


def steps_an_epoch(measured: dict[str, Any], seconds: float) -> dict[str, int]:
    """How many steps fill the time.

    Args:
        measured: What `train.py` wrote of the rehearsal.
        seconds: Of the training to come, from building the trainer to the last checkpoint.

    Returns:
        `iterations` and `validation_iterations` of each of `EPOCHS` epochs.
    """
    train, validation = measured["ends"]["train_step"], measured["ends"]["validation_step"]
    half = REHEARSAL["iterations"]
    step = _mean([b - a for a, b in pairwise(train[FIRST:half])] + [b - a for a, b in pairwise(train[half:])])
    check = _mean([b - a for a, b in pairwise(validation[REHEARSAL["validation_iterations"] :])])
    first, second = measured["ends"]["on_epoch_end"]
    rest = max(0.0, second - first - half * step - REHEARSAL["validation_iterations"] * check)
    start = max(0.0, first - half * step - REHEARSAL["validation_iterations"] * check - rest)
    for_steps = max(0.0, (seconds - start) / EPOCHS - rest)
    iterations = max(1, int(for_steps / (step + VALIDATION_SHARE * check)))
    return {"iterations": iterations, "validation_iterations": max(1, round(VALIDATION_SHARE * iterations))}


def train(cohort: Cohort, arm: Arm, seed: int, minutes: float, folder: Path) -> dict[str, Any]:
    """Train an arm, unless it is trained already.

    Returns:
        What `train.py` writes.
    """
    record = folder / "training.json"
    if not record.exists():
        rehearsed = folder.parent / "rehearsal.json"
        if not rehearsed.exists():
            with tempfile.TemporaryDirectory() as results:
                rehearsed.parent.mkdir(parents=True, exist_ok=True)
                _train(cohort, arm, 0, REHEARSAL, Path(results), rehearsed)
        steps = steps_an_epoch(json.loads(rehearsed.read_text()), 60 * minutes * arm.share)
        _train(cohort, arm, seed, {"epochs": EPOCHS, **steps}, folder / "results", record)
    result: dict[str, Any] = json.loads(record.read_text())
    return result


def _train(cohort: Cohort, arm: Arm, seed: int, steps: dict[str, int], results: Path, out: Path) -> None:
    job = {
        "dataset": str(cohort.dataset_id(arm)),
        "plans": arm.plans,
        "trainer": arm.trainer,
        "recipe": {**RECIPE, **arm.recipe},
        "seed": seed,
        "out": str(out),
        **steps,
    }
    run([sys.executable, str(Path(__file__).with_name("train.py")), json.dumps(job)], cohort.environment(results))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
