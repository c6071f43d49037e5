"""Choose fusion settings on scans that the models were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.calibration.boxes_alone import CONFIDENCES, BoxChoice, count_boxes
from pe_nnunet.calibration.outcomes import EMBOLI, FINDINGS, FOUND, TRUE, Grid, LabelledScan, count_outcomes
from pe_nnunet.errors import InputError
from pe_nnunet.fusion.settings import FusionSettings

BUDGETS = (0.5, 1.0, 2.0, 3.0, 4.0, 8.0)
PARTS = 5
FEWEST_SCANS = 5  # on fewer no detector can show that it helps
RESAMPLES = 1000
CERTAINTY = 0.95
MEANINGFUL = 1e-9


@dataclass(frozen=True)
class Objective:
    """What is made as high as it can be.

    Attributes:
        target_fp: Sensitivity at this many false positives a scan, at most; None: the F1 of emboli.
    """

    target_fp: float | None = None

    def __str__(self) -> str:
        """For a person."""
        if self.target_fp is None:
            return "F1 of emboli"
        return f"sensitivity at {self.target_fp:g} false positives a scan"


@dataclass(frozen=True)
class Choice:
    """Settings, and what they come to on the scans that they were chosen on.

    Attributes:
        settings: The settings.
        sensitivity: Found emboli of all emboli.
        false_positives_per_scan: Over all scans.
        f1: Of emboli.
        found: Emboli found.
        emboli: Emboli.
    """

    settings: FusionSettings
    sensitivity: float
    false_positives_per_scan: float
    f1: float
    found: int
    emboli: int


@dataclass(frozen=True)
class DetectionTest:
    """Whether the detector helps on scans that the settings were not chosen on.

    Attributes:
        gain: Objective with boxes minus without, in cross-validation.
        certainty: Share of resamples of the scans in which it is positive.
        helps: Whether the certainty reaches 0.95, on five scans or more; otherwise boxes get weight zero.
    """

    gain: float
    certainty: float
    helps: bool


@dataclass(frozen=True)
class Points:
    """Operating points.

    Attributes:
        chosen: The settings of the objective.
        budgets: The settings of the highest sensitivity for several numbers of false positives a scan, those that some
            setting keeps to.
    """

    chosen: Choice
    budgets: dict[float, Choice]


@dataclass(frozen=True)
class Calibration:
    """What was chosen.

    Attributes:
        objective: For what.
        segmentation: For the segmenters alone.
        fusion: For segmenters and boxes; None without a detector.
        boxes: For boxes alone; None without a detector.
        detection: Whether boxes help; None without a detector.
    """

    objective: Objective
    segmentation: Points
    fusion: Points | None = None
    boxes: BoxChoice | None = None
    detection: DetectionTest | None = None

    @property
    def best(self) -> Points:
        """With boxes, if there is a detector."""
        return self.fusion or self.segmentation


def calibrate(
    scans: Sequence[LabelledScan],
    objective: Objective,
    grid: Grid | None = None,
    base: FusionSettings | None = None,
) -> Calibration:
    """Choose thresholds, smallest volume and the weights of boxes.

    Of settings that come to the same, those nearest to no detection, then of the smallest volume, then of a threshold
    nearest to 0.5 are taken. Where no setting keeps to a number of false positives, the strictest is taken. Boxes get a
    weight only if that is better on scans that the weight was not chosen on: cross-validation over scans, and a
    bootstrap of its outcome.

    Args:
        scans: Predicted by models that were not trained on them.
        objective: What counts.
        grid: Which settings are tried; the default if None.
        base: What is not in the grid.

    Raises:
        InputError: PE-FUS-006 if there is no scan with an embolus.
    """
    if not any((scan.truth > 0).any() for scan in scans):
        raise InputError("PE-FUS-006", f"no embolus in the {len(scans)} scans to calibrate on", "name other folds")
    detector = any(scan.tubes is not None for scan in scans)
    settings = (grid or Grid()).settings(base or FusionSettings(), detector)
    order = sorted(range(len(settings)), key=lambda number: _preference(settings[number]))
    settings = [settings[number] for number in order]
    counts = count_outcomes(scans, _in_rows(settings))[_rows_back(settings)]
    plain = np.array([not choice.uses_detection for choice in settings])
    segmentation = _points(counts, settings, plain, objective)
    if not detector:
        return Calibration(objective, segmentation)
    test = _detection_test(counts, plain, objective)
    fusion = _points(counts, settings, np.ones(len(settings), bool), objective) if test.helps else segmentation
    return Calibration(objective, segmentation, fusion, _boxes_alone(scans, objective), test)


def _points(
    counts: NDArray[np.int64], settings: Sequence[FusionSettings], allowed: NDArray[np.bool_], objective: Objective
) -> Points:
    numbers = np.flatnonzero(allowed).tolist()
    of_them = [settings[number] for number in numbers]
    strictest = max(range(len(numbers)), key=lambda n: (of_them[n].min_volume_mm3, of_them[n].seed, -n))

    def best(goal: Objective) -> Choice:
        place = _best(counts[numbers], goal, strictest)
        return _choice(of_them[place], counts[numbers[place]])

    budgets = {budget: best(Objective(budget)) for budget in sorted({*BUDGETS, objective.target_fp or BUDGETS[0]})}
    kept = {budget: choice for budget, choice in budgets.items() if choice.false_positives_per_scan <= budget}
    return Points(best(objective), kept)


def _boxes_alone(scans: Sequence[LabelledScan], objective: Objective) -> BoxChoice:
    counts = count_boxes(scans)
    number = _best(counts, objective, strictest=len(counts) - 1)
    total = counts[number].sum(axis=0)
    sensitivity, false, f1 = (float(value) for value in _ratios(total, len(scans)))
    return BoxChoice(CONFIDENCES[number], sensitivity, false, f1, int(total[FOUND]), int(total[EMBOLI]))


def _preference(choice: FusionSettings) -> tuple[float, ...]:
    return (
        choice.box_weight + choice.no_box_penalty,
        choice.min_volume_mm3,
        abs(choice.threshold - 0.5),
        choice.seed,
        choice.box_weight,
        -choice.box_confidence,
    )


def _in_rows(settings: Sequence[FusionSettings]) -> list[FusionSettings]:
    return [settings[number] for number in _row_order(settings)]


def _rows_back(settings: Sequence[FusionSettings]) -> NDArray[np.intp]:
    return np.argsort(_row_order(settings))


def _row_order(settings: Sequence[FusionSettings]) -> list[int]:
    """Those that share their components one after another."""

    def place(number: int) -> tuple[float, ...]:
        choice = settings[number]
        return choice.box_weight, choice.no_box_penalty, choice.box_confidence, choice.threshold

    return sorted(range(len(settings)), key=place)


def _ratios(total: NDArray[np.int64], scans: int) -> tuple[NDArray[np.float64], ...]:
    """Sensitivity, false positives a scan, F1, of counts (..., 4)."""
    emboli, findings = np.maximum(total[..., EMBOLI], 1), np.maximum(total[..., FINDINGS], 1)
    sensitivity, precision = total[..., FOUND] / emboli, total[..., TRUE] / findings
    f1 = 2 * sensitivity * precision / np.maximum(sensitivity + precision, 1e-12)
    return sensitivity, (total[..., FINDINGS] - total[..., TRUE]) / scans, f1


def _best(counts: NDArray[np.int64], objective: Objective, strictest: int) -> int:
    """The first of the best; the strictest where none keeps to the number of false positives."""
    sensitivity, false, f1 = _ratios(counts.sum(axis=1), counts.shape[1])
    if objective.target_fp is None:
        return int(np.argmax(f1.round(9)))
    within = false <= objective.target_fp
    return int(np.argmax(np.where(within, sensitivity.round(9), -1))) if within.any() else strictest


def _value(total: NDArray[np.int64], scans: int, objective: Objective) -> NDArray[np.float64]:
    """The objective on scans that settings were not chosen on: what exceeds the budget costs its share of emboli."""
    sensitivity, false, f1 = _ratios(total, scans)
    if objective.target_fp is None:
        return f1
    return np.asarray(sensitivity / np.maximum(1, false / max(objective.target_fp, MEANINGFUL)))


def _detection_test(counts: NDArray[np.int64], plain: NDArray[np.bool_], objective: Objective) -> DetectionTest:
    scans = counts.shape[1]
    parts = np.arange(scans) % min(PARTS, scans)
    outcome = np.zeros((2, scans, 4), np.int64)
    order = np.arange(len(plain))
    for part in np.unique(parts):
        held = parts == part
        learn = counts[:, ~held] if (~held).any() else counts
        for row, allowed in enumerate((np.ones(len(plain), bool), plain)):
            totals = learn.sum(axis=1)
            value = np.where(allowed, _value(totals, learn.shape[1], objective).round(9), -1)
            outcome[row, held] = counts[order[int(np.argmax(value))], held]
    draws = np.random.default_rng(0).integers(0, scans, (RESAMPLES, scans))
    resampled = _value(outcome[:, draws].sum(axis=2), scans, objective)
    with_boxes, without = _value(outcome.sum(axis=1), scans, objective)
    certainty = float((resampled[0] > resampled[1] + MEANINGFUL).mean())
    helps = certainty >= CERTAINTY and scans >= FEWEST_SCANS
    return DetectionTest(float(with_boxes - without), certainty, helps)


def _choice(settings: FusionSettings, counts: NDArray[np.int64]) -> Choice:
    total = counts.sum(axis=0)
    sensitivity, false, f1 = (float(value) for value in _ratios(total, len(counts)))
    return Choice(settings, sensitivity, false, f1, int(total[FOUND]), int(total[EMBOLI]))
