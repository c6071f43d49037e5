"""How long the trainings may be on this machine, and how long the chain will take."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pe_nnunet.demo.measure import Speed
from pe_nnunet.demo.settings import DemoSettings
from pe_nnunet.files import atomic_json
from pe_nnunet.files.json_reader import MALFORMED, read_object

EPOCHS = 5
"""Of the segmenter: each ends with a checkpoint, from which a stopped training goes on."""

STEPS = (300, 1600)
DETECTOR_EPOCHS = (5, 12)
"""Fewer do not reach the goals, more are not needed for them."""

PICTURES_PER_SCAN = 13.0
TRAIN_SHARE = 0.8
DETECTOR_OVERHEAD = 1.2
"""Of loading, logging and checkpoints, over the steps that were measured."""

LOADING_S = 0.045
"""What drawing and augmenting a batch adds to a step on the machine of reference."""


@dataclass(frozen=True)
class Reference:
    """What a stage takes on the machine of reference, two AVX2 cores that nobody else uses, in seconds.

    Measured in one run of the demo (32 and 8 scans, 8 minutes) with nothing else at work.

    Attributes:
        start: Of the commands themselves, and whatever does not grow with the scans; alike on all machines, since it
            is reading programs from disk for the most part.
        per_scan: For each scan that it works on.
    """

    start: float
    per_scan: float


REFERENCE_SCAN_S = 2.0  # processor time of drawing a phantom there
STAGES = {
    "phantoms": Reference(5, 1.1),
    "convert": Reference(8, 0.4),
    "plan": Reference(24, 0.3),
    "start": Reference(28, 0.0),  # of both trainings
    "validation": Reference(0, 5.0),
    "calibrate": Reference(12, 1.3),
    "predict": Reference(21, 3.0),
    "evaluate": Reference(6, 0.1),
    "report": Reference(2, 0.3),
}


@dataclass(frozen=True)
class Schedule:
    """How long the trainings are, and what everything is thought to take.

    Attributes:
        epochs: Of the segmenter.
        iterations: Steps in each of them.
        detector_epochs: Of the detector.
        seconds: By stage, a key of `STAGES`, "training" or "detector", which are the epochs of the one and the other.
    """

    epochs: int
    iterations: int
    detector_epochs: int
    seconds: dict[str, float]


def fit(settings: DemoSettings, speed: Speed, scans: int, held_out: int, spent_s: float = 0.0) -> Schedule:
    """The longest trainings with which the chain keeps to its minutes, within `STEPS` and `DETECTOR_EPOCHS`.

    What grows with scans and is no step of a training is taken to be as much faster or slower than on the machine of
    reference as drawing a phantom is.

    Args:
        settings: Of the demo; epochs that were asked for are kept.
        speed: Of this machine.
        scans: To train and validate on.
        held_out: To predict.
        spent_s: Of the minutes, on what went before: reading the scans, measuring the machine.
    """
    ratio = speed.scan_s / REFERENCE_SCAN_S
    validated = round(scans * (1 - TRAIN_SHARE))
    counts = {
        "phantoms": 0 if settings.studies else scans + held_out,
        "convert": scans, "plan": scans, "start": 0, "validation": validated, "calibrate": validated,
        "predict": held_out, "evaluate": held_out, "report": held_out,
    }  # fmt: skip
    seconds = {name: of.start + ratio * counts[name] * of.per_scan for name, of in STAGES.items()}
    if settings.studies:
        seconds["phantoms"] = 0.0
    left = max(0.0, 60 * settings.minutes - spent_s - sum(seconds.values()))
    step_s = speed.step_s + ratio * LOADING_S
    wanted = min(max(left / step_s, STEPS[0]), STEPS[1])
    epochs = settings.epochs or EPOCHS
    iterations = int(settings.recipe.get("iterations", 0)) or max(1, round(wanted / EPOCHS))
    training, detector = epochs * iterations * step_s, 0.0
    detector_epochs = 0
    if settings.detector is not None:
        steps = max(1.0, scans * TRAIN_SHARE * PICTURES_PER_SCAN / settings.detector.batch)
        epoch_s = steps * speed.detector_step_s * DETECTOR_OVERHEAD
        detector_epochs = settings.detector_epochs or round(
            min(max(left / epoch_s, DETECTOR_EPOCHS[0]), DETECTOR_EPOCHS[1])
        )
        detector = detector_epochs * epoch_s
    return Schedule(epochs, iterations, detector_epochs, seconds | {"training": training, "detector": detector})


def with_schedule(settings: DemoSettings, schedule: Schedule) -> DemoSettings:
    """The settings with trainings of that length.

    Example:
        >>> with_schedule(DemoSettings(Path("demo")), Schedule(10, 60, 7, {})).recipe["iterations"]
        '60'
    """
    detector = settings.detector
    return replace(
        settings,
        epochs=schedule.epochs,
        recipe=settings.recipe | {"iterations": str(schedule.iterations)},
        detector=None if detector is None else replace(detector, epochs=schedule.detector_epochs),
    )


def read_schedule(path: Path, settings: DemoSettings) -> Schedule | None:
    """The schedule that an earlier run with the same settings has written, whose results another would not fit.

    Args:
        path: Its file.
        settings: Of this run.
    """
    try:
        known: dict[str, Any] = read_object(path)
        return Schedule(**known["schedule"]) if known["settings"] == _plain(settings) else None
    except (*MALFORMED, KeyError, TypeError):
        return None


def write_schedule(path: Path, settings: DemoSettings, schedule: Schedule) -> None:
    """Keep a schedule for the run that goes on."""
    atomic_json(path, {"settings": _plain(settings), "schedule": asdict(schedule)})


def _plain(settings: DemoSettings) -> Any:
    return json.loads(json.dumps(asdict(settings), default=str))
