"""The search of operating points: from counts of what each candidate finds in each scan to the best of them.

The objective is the F1 of emboli or, under a number of false positives a scan, the sensitivity at no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pe_nnunet.calibration.counts import (
    CONFIDENCES,
    EMBOLI,
    FINDINGS,
    FOUND,
    TRUE,
    Grid,
    LabelledScan,
    count_boxes,
    count_findings,
)
from pe_nnunet.errors import InputError
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.stored import OperatingPoints
from pe_nnunet.metrics.ratios import f1

BUDGETS = (0.5, 1.0, 2.0, 3.0, 4.0, 8.0)
PARTS = 5
MIN_SCANS = 5  # on fewer no detector can show that it helps
RESAMPLES = 1000
CERTAINTY = 0.95
MEANINGFUL = 1e-9


@dataclass(frozen=True)
class OperatingPoint:
    """Settings, and what they come to on the scans that they were chosen on.

    Attributes:
        settings: The settings; of boxes without a segmenter `box_confidence` alone has a meaning.
        sensitivity: Found emboli of all emboli.
        false_positives_per_scan: Over all scans.
        f1: Of emboli.
        found: Emboli found, over all scans.
        emboli: True emboli, over all scans.
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
class Calibration:
    """What was chosen.

    Attributes:
        max_fp_per_scan: The objective is the sensitivity at this many false positives a scan, at most; None: the F1.
        segmentation: For the segmenters alone.
        fusion: For segmenters and boxes; None without a detector.
        boxes: For boxes alone; None without a detector, or where they find no embolus.
        detection: Whether boxes help; None without a detector.
    """

    max_fp_per_scan: float | None
    segmentation: OperatingPoints[OperatingPoint]
    fusion: OperatingPoints[OperatingPoint] | None = None
    boxes: OperatingPoint | None = None
    detection: DetectionTest | None = None

    @property
    def best(self) -> OperatingPoints[OperatingPoint]:
        """With boxes, if there is a detector."""
        return self.fusion or self.segmentation


def rates(total: NDArray[Any], scans: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity, false positives a scan, and F1 of counts (..., columns) that are summed over scans."""
    sensitivity = total[..., FOUND] / np.maximum(total[..., EMBOLI], 1)
    precision = total[..., TRUE] / np.maximum(total[..., FINDINGS], 1)
    return sensitivity, (total[..., FINDINGS] - total[..., TRUE]) / scans, f1(sensitivity, precision)


def best(
    counts: NDArray[np.int64],
    max_fp_per_scan: float | None,
    strictness: ArrayLike,
    prefer: Sequence[ArrayLike] = (),
) -> int:
    """The number of the best candidate.

    It has the highest F1, or the highest sensitivity among those that keep to the false positives a scan. Where none
    does, it is that with the fewest; of equals that with the highest sensitivity.

    Args:
        counts: (candidates, scans, columns), as `count_findings` gives them.
        max_fp_per_scan: False positives a scan, at most; None: the F1 counts.
        strictness: Of each candidate. Where none keeps to the false positives, the strictest of equals is taken.
        prefer: Numbers of each candidate; of equals that with the lowest first one is taken, then that with the lowest
            second one, and so on. What is still equal is decided by the order of the candidates.
    """
    sensitivity, false, score = rates(counts.sum(axis=1), counts.shape[1])
    within = np.ones(len(counts), bool) if max_fp_per_scan is None else false <= max_fp_per_scan
    value = (score if max_fp_per_scan is None else sensitivity).round(9)
    keys: list[Any] = [-np.where(within, value, -1), *prefer]
    if not within.any():
        keys = [false, -value, *prefer, -np.asarray(strictness)]
    return int(np.lexsort(keys[::-1])[0])


def require_found(counts: NDArray[np.int64], chosen: int, max_fp_per_scan: float | None) -> None:
    """Check that what is best has found something: a best of nothing is no choice.

    Args:
        counts: (candidates, scans, columns), as `count_findings` gives them.
        chosen: Number of the best candidate.
        max_fp_per_scan: By which it was chosen.

    Raises:
        InputError: PE-FUS-010 if there is no embolus, no candidate finds one, or none does that keeps to the false
            positives.
    """
    if counts[chosen, :, FOUND].any():
        return
    candidates, scans, _ = counts.shape
    emboli = int(counts[0, :, EMBOLI].sum())
    if not emboli:
        reason, hint = f"no embolus in the {scans} scans", "give folds or labels with emboli"
    elif not counts[..., FOUND].any():
        reason = f"none of the {candidates} settings finds one of the {emboli} emboli in the {scans} scans"
        hint = "train longer, try lower --thresholds, or check that labels and model belong together"
    else:
        reason = f"no setting that finds an embolus keeps to {max_fp_per_scan:g} false positives a scan"
        hint = "give a higher --target-fp"
    raise InputError("PE-FUS-010", f"nothing can be chosen: {reason}", hint)


def held_out(
    counts: NDArray[np.int64], parts: NDArray[np.intp], choose: Callable[[NDArray[np.int64]], int]
) -> NDArray[np.intp]:
    """For each scan the candidate that is chosen on the scans of all other parts.

    Args:
        counts: (candidates, scans, columns).
        parts: Number of the part of each scan; with a single one the choice is made on its own scans.
        choose: From counts to the number of a candidate.
    """
    chosen = np.zeros(counts.shape[1], np.intp)
    for part in np.unique(parts):
        held = parts == part
        chosen[held] = choose(counts if held.all() else counts[:, ~held])
    return chosen


def calibrate(
    scans: Sequence[LabelledScan],
    max_fp_per_scan: float | None = None,
    grid: Grid | None = None,
) -> Calibration:
    """Choose thresholds, smallest volume and the weights of boxes.

    Of settings that come to the same, those nearest to no detection, then of the smallest volume, then of a threshold
    nearest to 0.5 are taken. Boxes get a weight only if that is better on scans that the weight was not chosen on:
    cross-validation over scans, and a bootstrap of its outcome.

    Args:
        scans: Predicted by models that were not trained on them.
        max_fp_per_scan: The sensitivity at this many false positives a scan, at most, counts; None: the F1 of emboli.
        grid: Which settings are tried; the default if None.

    Raises:
        InputError: PE-FUS-006 if there is no scan with an embolus; PE-FUS-010 if no setting finds one.
    """
    if not any((scan.truth > 0).any() for scan in scans):
        raise InputError("PE-FUS-006", f"no embolus in the {len(scans)} scans to calibrate on", "name other folds")
    detector = any(scan.tubes is not None for scan in scans)
    settings = sorted((grid or Grid()).settings(FusionSettings(), detector), key=_preference)
    counts = count_findings(scans, settings)
    plain = [number for number, choice in enumerate(settings) if not choice.uses_detection]
    segmentation = _points(counts[plain], [settings[number] for number in plain], max_fp_per_scan)
    if not detector:
        return Calibration(max_fp_per_scan, segmentation)
    test = _detection_test(counts, counts[plain], max_fp_per_scan)
    fusion = _points(counts, settings, max_fp_per_scan) if test.helps else segmentation
    of_boxes = count_boxes(scans)
    number = best(of_boxes, max_fp_per_scan, CONFIDENCES)
    boxes = None
    if of_boxes[number, :, FOUND].any():
        boxes = _point(FusionSettings(box_confidence=CONFIDENCES[number]), of_boxes[number])
    return Calibration(max_fp_per_scan, segmentation, fusion, boxes, test)


def _preference(choice: FusionSettings) -> tuple[float, ...]:
    return (
        choice.box_weight + choice.no_box_penalty,
        choice.min_volume_mm3,
        abs(choice.threshold - 0.5),
        choice.seed,
        choice.box_weight,
        -choice.box_confidence,
    )


def _points(
    counts: NDArray[np.int64], settings: Sequence[FusionSettings], max_fp_per_scan: float | None
) -> OperatingPoints[OperatingPoint]:
    def number(goal: float | None) -> int:
        return best(counts, goal, [choice.min_volume_mm3 for choice in settings])

    def point(goal: float | None) -> OperatingPoint:
        return _point(settings[number(goal)], counts[number(goal)])

    require_found(counts, number(max_fp_per_scan), max_fp_per_scan)
    budgets = {budget: point(budget) for budget in sorted({*BUDGETS, max_fp_per_scan or BUDGETS[0]})}
    kept = {n: found for n, found in budgets.items() if found.found and found.false_positives_per_scan <= n}
    return OperatingPoints(point(max_fp_per_scan), kept)


def _point(settings: FusionSettings, counts: NDArray[np.int64]) -> OperatingPoint:
    total = counts.sum(axis=0)
    sensitivity, false, score = (float(value) for value in rates(total, len(counts)))
    return OperatingPoint(settings, sensitivity, false, score, int(total[FOUND]), int(total[EMBOLI]))


def _detection_test(fused: NDArray[np.int64], plain: NDArray[np.int64], max_fp_per_scan: float | None) -> DetectionTest:
    """Compare counts of settings with boxes to those of settings without."""
    scans = fused.shape[1]
    parts = np.arange(scans) % min(PARTS, scans)

    def choose(of: NDArray[np.int64]) -> int:  # a hard limit would credit boxes with a finer choice of false positives
        return int(np.argmax(_value(of.sum(axis=1), of.shape[1], max_fp_per_scan).round(9)))

    outcome = np.stack([of[held_out(of, parts, choose), np.arange(scans)] for of in (fused, plain)])
    draws = np.random.default_rng(0).integers(0, scans, (RESAMPLES, scans))
    resampled = _value(outcome[:, draws].sum(axis=2), scans, max_fp_per_scan)
    with_boxes, without = _value(outcome.sum(axis=1), scans, max_fp_per_scan)
    certainty = float((resampled[0] > resampled[1] + MEANINGFUL).mean())
    return DetectionTest(float(with_boxes - without), certainty, certainty >= CERTAINTY and scans >= MIN_SCANS)


def _value(total: NDArray[np.int64], scans: int, max_fp_per_scan: float | None) -> NDArray[np.float64]:
    """The objective on scans that settings were not chosen on: what exceeds the budget costs its share of emboli."""
    sensitivity, false, score = rates(total, scans)
    if max_fp_per_scan is None:
        return score
    return np.asarray(sensitivity / np.maximum(1, false / max(max_fp_per_scan, MEANINGFUL)))
