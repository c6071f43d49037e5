"""Train for a budget of time or of steps; of time, a short rehearsal says how many steps fit, so that every schedule
runs to its end.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from budget.arms import Arm
from budget.data import Cohort, run

EPOCHS = range(18, 23)
REHEARSAL = {"epochs": 2, "iterations": 16}
ON_A_GPU = {"iterations": 64}  # steps are short there, and the first ones take what the workers have in store
FIRST = 4  # steps that also wait for workers to start


@dataclass(frozen=True)
class Budget:
    """What each arm may spend on training.

    Attributes:
        amount: How much.
        unit: Minutes of wall time, or steps.
    """

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


def steps_that_fit(measured: dict[str, Any], seconds: float) -> dict[str, int]:
    """How many epochs and steps fill the time: of `EPOCHS` the number that wastes least, since steps of a slow arm are
    long, and what does not make a whole step in each epoch would be lost to it.

    Args:
        measured: What `train.py` wrote of the rehearsal.
        seconds: Of the training to come, from building the trainer to the last checkpoint.

    Returns:
        `epochs`, and `iterations` of each.
    """
    train = measured["ends"]["train_step"]
    half = len(train) // 2
    step = _mean([b - a for a, b in pairwise(train[FIRST:half])] + [b - a for a, b in pairwise(train[half:])])
    first, second = measured["ends"]["on_epoch_end"]
    rest = max(0.0, second - first - half * step)
    start = max(0.0, first - half * step - rest)
    fitting = []
    for epochs in EPOCHS:
        iterations = max(1, int(((seconds - start) / epochs - rest) / step))
        used = start + epochs * (iterations * step + rest)
        fitting.append((abs(seconds - used), epochs, iterations))
    _, epochs, iterations = min(fitting)
    return {"epochs": epochs, "iterations": iterations}


def train(cohort: Cohort, arm: Arm, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Train an arm, unless it is trained already.

    Returns:
        What `train.py` writes.
    """
    record = folder / "training.json"
    if not record.exists():
        if budget.unit == "steps":
            steps = {"epochs": EPOCHS[2], "iterations": max(1, round(budget.amount * arm.share / EPOCHS[2]))}
        else:
            steps = steps_that_fit(_rehearsed(cohort, arm, folder.parent), 60 * budget.amount * arm.share)
        shutil.rmtree(folder / "results", ignore_errors=True)  # of a training that was killed
        _train(cohort, arm, seed, steps, folder / "results", record)
    result: dict[str, Any] = json.loads(record.read_text())
    return result


def _rehearsed(cohort: Cohort, arm: Arm, folder: Path) -> dict[str, Any]:
    record = folder / "rehearsal.json"
    if not record.exists():
        with tempfile.TemporaryDirectory() as results:
            steps = REHEARSAL | (ON_A_GPU if cohort.device == "cuda" else {})
            _train(cohort, arm, 0, steps, Path(results), record)
    measured: dict[str, Any] = json.loads(record.read_text())
    return measured


def _train(cohort: Cohort, arm: Arm, seed: int, steps: dict[str, int], results: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    job = {
        "dataset": str(cohort.dataset_id(arm)),
        "plans": arm.plans,
        "trainer": arm.trainer,
        "recipe": arm.recipe,
        "seed": seed,
        "device": cohort.device,
        "out": str(out),
        **steps,
    }
    run([sys.executable, str(Path(__file__).with_name("train.py")), json.dumps(job)], cohort.environment(results))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
