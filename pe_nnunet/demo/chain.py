"""The chain: a cohort, conversion, plans, training, calibration, prediction of held-out scans, scores, a picture."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from pe_nnunet.demo.command import Step, StepRunner
from pe_nnunet.demo.measure import measure
from pe_nnunet.demo.report import make_report
from pe_nnunet.demo.schedule import Schedule, fit, read_schedule, with_schedule, write_schedule
from pe_nnunet.demo.settings import DemoSettings
from pe_nnunet.demo.steps import Steps, link_scans, split_studies
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.locks import is_locked, locked
from pe_nnunet.fusion.stored import read_fusion

FOLDERS = ("scans", "nnUNet", "steps", "predictions", "scores")
ENVIRONMENT = {
    "nnUNet_n_proc_DA": "0",  # augmentation in the training itself: each training has its own processors
    "nnUNet_def_n_proc": "2",
    "nnUNet_compile": "f",
    "PYTHONUNBUFFERED": "1",
}
BUSY = ConfigurationError("PE-DEMO-001", "another run is working in this folder")


def run_demo(settings: DemoSettings) -> tuple[str, tuple[str, ...]]:
    """Run the chain; what an earlier run has done with the same settings is not done again.

    Args:
        settings: What it runs on.

    Returns:
        Scores of every method on the held-out scans, and where the picture is; and the goals that were not reached.

    Raises:
        PEError: If a step fails.
    """
    out = settings.out.resolve()
    (out / "steps").mkdir(parents=True, exist_ok=True)
    with alone(out / "steps") as inherited:
        return _run(settings, out, inherited)


@contextmanager
def alone(steps: Path) -> Iterator[tuple[int, ...]]:
    """Hold the folder of the steps of a demo; wait for another run in it.

    Yields:
        File descriptors that commands keep open, so that the lock lasts as long as they do.
    """
    path = steps / "lock"
    if is_locked(path):  # commands of a run that was killed end with the next line that they write
        print("another run, or what a killed one has left, is working in this folder: waiting for its end", flush=True)
    with locked(path, BUSY, wait=True) as lock:
        yield () if lock is None else (lock,)


def _run(settings: DemoSettings, out: Path, inherited: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
    schedule, known = _schedule(settings, out)
    started = time.perf_counter()
    planned = with_schedule(settings, schedule)
    steps = Steps(planned, out, schedule.seconds, goes_on=known)
    for folder in steps.folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    learning, scoring = steps.learning(), steps.scoring()
    steps_in_all = sum(map(len, learning)) + len(scoring) + 1
    environment = ENVIRONMENT | {name: str(folder) for name, folder in steps.folders.items()}
    runner = StepRunner(out / "steps", environment, steps_in_all, inherited)
    said_s = schedule.seconds["report"] + seconds_left([*learning, *((step,) for step in scoring)], out / "steps")
    say_plan(schedule, said_s, known=known)
    for group in learning:
        runner.run(*group)
    link_scans(steps.scans / "test", steps.scans / "to_predict")
    for step in scoring:
        runner.run(step)
    points = read_fusion(steps.fusion_file) if steps.fusion_file.is_file() else None
    print(f"[{steps_in_all}/{steps_in_all}] threshold baseline, table and picture", flush=True)
    text, missed = make_report(out, runner.seconds, points, planned)
    return f"{text}\n{took(time.perf_counter() - started, said_s)}", missed


def _schedule(settings: DemoSettings, out: Path) -> tuple[Schedule, bool]:
    """The schedule, and whether it is that of an earlier run."""
    path = out / "steps" / "schedule.json"
    known = read_schedule(path, settings)
    if known is not None:
        return known, True
    started = time.perf_counter()
    scans, held_out = settings.train_scans, settings.test_scans
    if settings.studies is not None:
        split_studies(settings.studies, settings.held_out, out / "scans")
        scans, held_out = (len(list((out / "scans" / part).iterdir())) for part in ("train", "test"))
    print("measuring this machine, some twenty seconds", flush=True)
    speed = measure(settings)
    schedule = fit(settings, speed, scans, held_out, time.perf_counter() - started)
    write_schedule(path, settings, schedule)
    return schedule, False


def seconds_left(groups: Iterable[Sequence[Step]], records: Path) -> float:
    """What the steps that are not done are thought to take; those of a group run at the same time.

    Args:
        groups: All steps of the chain, in order.
        records: Folder with a file `NUMBER.json` of each step that is done.
    """
    numbers = count(1)
    left = ([0.0 if (records / f"{next(numbers)}.json").is_file() else step.expected_s for step in g] for g in groups)
    return sum(map(max, left))


def say_plan(schedule: Schedule, said_s: float, *, known: bool) -> None:
    """Say how long the chain will take, before it starts.

    Args:
        schedule: Of the trainings.
        said_s: For what is not done yet.
        known: Whether the schedule is that of an earlier run.
    """
    trainings = f"{schedule.epochs * schedule.iterations} steps of the segmenter"
    if schedule.detector_epochs:
        trainings += f" beside {schedule.detector_epochs} epochs of the detector"
    going_on = "going on with the schedule of an earlier run: " if known else ""
    print(f"{going_on}this will take about {said_s / 60:.1f} minutes; {trainings}", flush=True)


def took(seconds: float, said_s: float) -> str:
    """How long it took against what was said.

    Example:
        >>> took(330, 300)
        'took 5.5 minutes, 10 % more than was said'
    """
    share = round(100 * (seconds / max(said_s, 1.0) - 1))
    return f"took {seconds / 60:.1f} minutes, {abs(share)} % {'less' if share < 0 else 'more'} than was said"


def clean(out: Path) -> None:
    """Remove what the chain has written, so that it starts anew."""
    for name in FOLDERS:
        with suppress(FileNotFoundError):
            shutil.rmtree(out / name)
