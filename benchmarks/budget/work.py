"""One run of the comparison: train what an arm needs, predict and score; and which runs are there already."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budget.arms import ARMS, Arm
from budget.data import Cohort, mark
from budget.score import predict, score
from budget.timing import Budget, train
from run import machine

Run = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """An arm on a cohort, for a budget, from a seed."""

    cohort: Cohort
    arm: Arm
    budget: Budget
    seed: int

    @property
    def key(self) -> Run:
        """What tells a run from others in the results."""
        return {
            "cohort": self.cohort.title,
            "budget": str(self.budget),
            "arm": self.arm.name,
            "seed": self.seed,
            "definition": self.arm.definition(),
        }

    def done(self, runs: Sequence[Run]) -> bool:
        """Whether it is in the results, as the arm is defined now."""
        key = json.loads(json.dumps(self.key))
        return any(key.items() <= run.items() for run in runs)

    def folder(self, arm: Arm) -> Path:
        """Where an arm's network and predictions lie; another one once its definition changes."""
        name = "_".join("".join(letter if letter.isalnum() else " " for letter in arm.name).split())
        return self.cohort.folder / "runs" / f"{name}_{mark(arm.definition())}" / f"{self.budget}" / f"seed_{self.seed}"

    def prepare(self) -> None:
        """Datasets and plans of all that is trained."""
        for arm in self._trainings():
            self.cohort.prepare(arm)

    def run(self) -> Run:
        """Train, predict and score; what lies there finished is not done again."""
        print(f"{self.arm.name}, {self.budget}, seed {self.seed}", flush=True)
        trained = [train(self.cohort, arm, self.seed, self.budget, self.folder(arm)) for arm in self._trainings()]
        folder = self.folder(self.arm)
        seconds = predict(self.cohort, self._trainings()[0], [Path(record["model"]) for record in trained], folder)
        return {
            **self.key,
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "train_seconds": sum(record["seconds"] for record in trained),
            "steps": " + ".join(str(record["steps"]) for record in trained),
            "memory_gb": max(record["memory_gb"] for record in trained),
            "scan_seconds": sum(seconds.values()) / len(seconds),
            **score(self.cohort, folder),
        }

    def _trainings(self) -> list[Arm]:
        return [ARMS[name] for name in self.arm.members] or [self.arm]
