"""Trainings of several folds and models, each by nnU-Net's own command, which goes on where it stopped."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.locks import locked


@dataclass(frozen=True)
class FoldJob:
    """One training.

    Attributes:
        folder: Of the fold, in nnUNet_results.
        command: That trains and validates it, and goes on where it stopped.
    """

    folder: Path
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """Model and fold, as messages say them."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def log(self) -> Path:
        """What the command says."""
        return self.folder / "training_log_process.txt"

    def done(self) -> bool:
        """Whether it is trained and validated."""
        return all((self.folder / name).is_file() for name in ("checkpoint_final.pth", "validation/summary.json"))


def fold_jobs(
    results: Path,
    command: Sequence[str],
    dataset: str,
    models: Sequence[tuple[str, str, str]],
    folds: Sequence[str],
    more: Sequence[str] = (),
) -> dict[str, FoldJob]:
    """The trainings of some models.

    Args:
        results: The dataset's folder in nnUNet_results.
        command: That starts an nnU-Net command, which follows.
        dataset: Its name.
        models: Trainer, plans and configuration of each.
        folds: Of each model.
        more: Further arguments of `nnUNetv2_train`.

    Returns:
        By name, fold by fold, so that each fold of all models comes early.
    """
    jobs = (
        FoldJob(
            results / f"{trainer}__{plans}__{configuration}" / f"fold_{fold}",
            (*command, "nnUNetv2_train", dataset, configuration, fold, "-tr", trainer, "-p", plans, "--c", *more),
        )
        for fold in folds
        for trainer, plans, configuration in models
    )
    return {job.name: job for job in jobs}


def train(job: FoldJob) -> FoldJob:
    """Train a fold, unless that is done.

    The process ends when this one does, whatever ends it: its standard input closes then.

    Raises:
        ConfigurationError: PE-CLU-009 if the training fails, or does not end with a validation; PE-OUT-014 if another
            process trains it.
    """
    if job.done():
        return job
    job.folder.mkdir(parents=True, exist_ok=True)
    busy = ConfigurationError("PE-OUT-014", f"another process trains {job.name}", "wait until it is done")
    with locked(job.folder / ".train_folds.lock", busy), job.log.open("ab") as log:
        process = subprocess.Popen(
            job.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
    if status or not job.done():
        raise ConfigurationError(
            "PE-CLU-009", f"{job.name}: the training ended with status {status}, {job.log.name} says why", "see there"
        )
    return job
