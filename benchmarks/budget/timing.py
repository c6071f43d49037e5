"""Train for a wall time: a short rehearsal says how many steps fit, so that every schedule runs to its end."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from budget.arms import RECIPE, Arm
from budget.data import Cohort, run

EPOCHS, VALIDATION_SHARE = range(18, 23), 0.03
REHEARSAL = {"epochs": 2, "iterations": 16, "validation_iterations": 2}
ON_A_GPU = {"iterations": 64}  # steps are short there, and the first ones take what the workers have in store
FIRST = 4  # steps that also wait for workers to start


def steps_that_fit(measured: dict[str, Any], seconds: float) -> dict[str, int]:
    """How many epochs and steps fill the time: of `EPOCHS` the number that wastes least, since steps of a slow arm are
    long, and what does not make a whole step in each epoch would be lost to it.

    Args:
        measured: What `train.py` wrote of the rehearsal.
        seconds: Of the training to come, from building the trainer to the last checkpoint.

    Returns:
        `epochs`, and `iterations` and `validation_iterations` of each.
    """
    train, validation = measured["ends"]["train_step"], measured["ends"]["validation_step"]
    half, checks = len(train) // 2, len(validation) // 2
    step = _mean([b - a for a, b in pairwise(train[FIRST:half])] + [b - a for a, b in pairwise(train[half:])])
    check = _mean([b - a for a, b in pairwise(validation[checks:])])
    first, second = measured["ends"]["on_epoch_end"]
    rest = max(0.0, second - first - half * step - checks * check)
    start = max(0.0, first - half * step - checks * check - rest)
    fitting = []
    for epochs in EPOCHS:
        for_steps = max(0.0, (seconds - start) / epochs - rest)
        iterations = max(1, int(for_steps / (step + VALIDATION_SHARE * check)))
        used = epochs * (iterations * (step + VALIDATION_SHARE * check) + rest)
        fitting.append((abs(seconds - start - used), epochs, iterations))
    _, epochs, iterations = min(fitting)
    validation_iterations = max(1, round(VALIDATION_SHARE * iterations))
    return {"epochs": epochs, "iterations": iterations, "validation_iterations": validation_iterations}


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
                steps = REHEARSAL | (ON_A_GPU if cohort.share.device == "cuda" else {})
                _train(cohort, arm, 0, steps, Path(results), rehearsed)
        steps = steps_that_fit(json.loads(rehearsed.read_text()), 60 * minutes * arm.share)
        shutil.rmtree(folder / "results", ignore_errors=True)  # of a training that was killed
        _train(cohort, arm, seed, steps, folder / "results", record)
    result: dict[str, Any] = json.loads(record.read_text())
    return result


def _train(cohort: Cohort, arm: Arm, seed: int, steps: dict[str, int], results: Path, out: Path) -> None:
    job = {
        "dataset": str(cohort.dataset_id(arm)),
        "plans": arm.plans,
        "trainer": arm.trainer,
        "recipe": {**RECIPE, **arm.recipe},
        "seed": seed,
        "device": cohort.share.device,
        "threads": cohort.share.threads,
        "out": str(out),
        **steps,
    }
    run([sys.executable, str(Path(__file__).with_name("train.py")), json.dumps(job)], cohort.environment(results))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
