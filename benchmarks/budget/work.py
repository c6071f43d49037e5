"""Runs of the comparison as work for several processes: what they train, then each run's prediction and scores."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budget.arms import ARMS, Arm
from budget.data import Cohort
from budget.score import predict, score
from budget.timing import train
from run import machine

from pe_nnunet.processes import worker_pool

Record = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One run: an arm on a cohort from a seed.

    Attributes:
        cohort: Its scans.
        key: What tells it from other runs in the results: `cohort`, `split`, `minutes`, `arm` and `seed`.
    """

    cohort: Cohort
    key: dict[str, Any]

    @property
    def arm(self) -> Arm:
        """What is trained, or whose members are."""
        return ARMS[self.key["arm"]]

    @property
    def trainings(self) -> list[Arm]:
        """The arms whose networks it predicts with."""
        return [ARMS[name] for name in self.arm.members] or [self.arm]

    def folder(self, arm: Arm) -> Path:
        """Where an arm's network and predictions lie."""
        name = "".join(letter if letter.isalnum() else "_" for letter in arm.name)
        return self.cohort.folder / "runs" / f"{name}_{self.key['minutes']:g}min" / f"seed_{self.key['seed']}"

    def train(self, arm: Arm) -> Record:
        """Train an arm, unless it is trained already."""
        print(f"{arm.name}, seed {self.key['seed']}, split {self.key['split']}: training", flush=True)
        return train(self.cohort, arm, self.key["seed"], self.key["minutes"], self.folder(arm))

    def run(self, trained: Sequence[Record]) -> Record:
        """Predict and score with networks that are trained."""
        print(f"{self.arm.name}, seed {self.key['seed']}, split {self.key['split']}: prediction", flush=True)
        folder = self.folder(self.arm)
        seconds = predict(self.cohort, self.arm, [Path(record["model"]) for record in trained], folder)
        return {
            **self.key,
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "train_seconds": sum(record["seconds"] for record in trained),
            "steps": " + ".join(str(record["steps"]) for record in trained),
            "memory_gb": max(record["memory_gb"] for record in trained),
            "curve": [record["curve"] for record in trained],
            "scan_seconds": sum(seconds.values()) / len(seconds),
            **score(self.cohort, folder),
        }


def results(jobs: Sequence[Job], at_a_time: int) -> Iterator[Record]:
    """Each run as soon as it is scored; what is ready to be scored goes before what is to be trained.

    A run that fails is told, and the others go on.

    Args:
        jobs: What is to be done, in this order.
        at_a_time: How many processes work.
    """
    left = list(jobs)
    # a network that several runs need is trained once
    to_train = list({job.folder(arm): (job, arm) for job in jobs for arm in job.trainings}.values())
    trained: dict[Path, Record] = {}
    flying: dict[Future[Record], Path | None] = {}
    with worker_pool(at_a_time) as pool:
        while True:
            while len(flying) < at_a_time:
                ready = next((job for job in left if all(job.folder(arm) in trained for arm in job.trainings)), None)
                if ready is not None:
                    left.remove(ready)
                    flying[pool.submit(ready.run, [trained[ready.folder(arm)] for arm in ready.trainings])] = None
                elif to_train:
                    job, arm = to_train.pop(0)
                    flying[pool.submit(job.train, arm)] = job.folder(arm)
                else:
                    break
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                folder = flying.pop(future)
                if (error := future.exception()) is not None:
                    print(f"failed: {error}", flush=True)
                elif folder is not None:
                    trained[folder] = future.result()
                else:
                    yield future.result()
