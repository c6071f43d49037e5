"""The search of operating points: thresholds, smallest volume and the weights of boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import (
    CONFIDENCES,
    FOUND,
    Grid,
    LabelledScan,
    count_boxes,
    count_findings,
)
from pe_nnunet.calibration.cross_validation import (
    Choose,
    Estimate,
    best_elsewhere,
    compare,
    elsewhere,
    estimate,
    numbered_patients,
)
from pe_nnunet.calibration.objective import best, require_found, totals
from pe_nnunet.errors import InputError
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.fusion.stored import OperatingPoints

BUDGETS = (0.5, 1.0, 2.0, 3.0, 4.0, 8.0)


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
        default: What the settings come to that count where nothing is calibrated.
        cross_validated: What the same choice comes to on patients that it was not made on; None with a single one.
    """

    max_fp_per_scan: float | None
    segmentation: OperatingPoints[OperatingPoint]
    fusion: OperatingPoints[OperatingPoint] | None = None
    boxes: OperatingPoint | None = None
    detection: DetectionTest | None = None
    default: OperatingPoint | None = None
    cross_validated: Estimate | None = None

    @property
    def best(self) -> OperatingPoints[OperatingPoint]:
        """With boxes, if there is a detector."""
        return self.fusion or self.segmentation


def calibrate(
    scans: Sequence[LabelledScan],
    max_fp_per_scan: float | None = None,
    grid: Grid | None = None,
    patients: Mapping[str, str] | None = None,
) -> Calibration:
    """Choose thresholds, smallest volume and the weights of boxes.

    Of settings that come to the same, those nearest to no detection, then of the smallest volume, then of a threshold
    nearest to 0.5 are taken. Boxes get a weight only if that is better on scans that the weight was not chosen on:
    cross-validation over patients, and a bootstrap of its outcome.

    Args:
        scans: Predicted by models that were not trained on them.
        max_fp_per_scan: The sensitivity at this many false positives a scan, at most, counts; None: the F1 of emboli.
        grid: Which settings are tried; the default if None.
        patients: Case id -> patient; who is not in it is a patient of its own.

    Raises:
        InputError: PE-FUS-006 if there is no scan with an embolus; PE-FUS-010 if no setting finds one.
    """
    if not any((scan.truth > 0).any() for scan in scans):
        raise InputError(
            "PE-FUS-006", f"no embolus in the {len(scans)} scans to calibrate on", "give folds or labels with emboli"
        )
    detector = any(scan.tubes is not None for scan in scans)
    settings = plain_settings(grid)
    if detector:
        settings = sorted((grid or Grid()).settings(FusionSettings(), detector=True), key=preference)
    default = FusionSettings()
    counted = count_findings(scans, [*settings, default])
    counts, of_default = counted[:-1], operating_point(default, counted[-1])
    whose = numbered_patients([scan.case_id for scan in scans], patients)
    plain = [number for number, choice in enumerate(settings) if not choice.uses_detection]
    alone = [settings[number] for number in plain]
    segmentation = _points(counts[plain], alone, max_fp_per_scan)
    if not detector:
        held = estimate(elsewhere(counts, whose, chooser(settings, max_fp_per_scan)), whose)
        return Calibration(max_fp_per_scan, segmentation, default=of_default, cross_validated=held)
    test = _detection_test(counts, counts[plain], whose, max_fp_per_scan)
    fusion = _points(counts, settings, max_fp_per_scan) if test.helps else segmentation
    tried, of = (counts, settings) if test.helps else (counts[plain], alone)
    held = estimate(elsewhere(tried, whose, chooser(of, max_fp_per_scan)), whose)
    of_boxes = count_boxes(scans)
    number = best(of_boxes, max_fp_per_scan, CONFIDENCES)
    boxes = None
    if of_boxes[number, :, FOUND].any():
        boxes = operating_point(FusionSettings(box_confidence=CONFIDENCES[number]), of_boxes[number])
    return Calibration(max_fp_per_scan, segmentation, fusion, boxes, test, of_default, held)


def plain_settings(grid: Grid | None) -> list[FusionSettings]:
    """What is tried for the segmenters alone; of equals the first is taken.

    Args:
        grid: The default if None.
    """
    return sorted((grid or Grid()).settings(FusionSettings(), detector=False), key=preference)


def preference(choice: FusionSettings) -> tuple[float, ...]:
    """By which settings are sorted: of equals the first is taken."""
    return (
        choice.box_weight + choice.no_box_penalty,
        choice.min_volume_mm3,
        abs(choice.threshold - 0.5),
        choice.seed,
        choice.box_weight,
        -choice.box_confidence,
    )


def chooser(settings: Sequence[FusionSettings], max_fp_per_scan: float | None) -> Choose:
    """How the best of settings is chosen from their counts."""
    volumes = [choice.min_volume_mm3 for choice in settings]
    return lambda counts: best(counts, max_fp_per_scan, volumes)


def _points(
    counts: NDArray[np.int64], settings: Sequence[FusionSettings], max_fp_per_scan: float | None
) -> OperatingPoints[OperatingPoint]:
    def point(goal: float | None) -> OperatingPoint:
        number = chooser(settings, goal)(counts)
        return operating_point(settings[number], counts[number])

    require_found(counts, chooser(settings, max_fp_per_scan)(counts), max_fp_per_scan)
    budgets = {budget: point(budget) for budget in sorted({*BUDGETS, max_fp_per_scan or BUDGETS[0]})}
    kept = {n: found for n, found in budgets.items() if found.found and found.false_positives_per_scan <= n}
    return OperatingPoints(point(max_fp_per_scan), kept)


def operating_point(settings: FusionSettings, counts: NDArray[np.int64]) -> OperatingPoint:
    """Settings with what they come to.

    Args:
        settings: They.
        counts: Of them, (scans, columns).
    """
    return OperatingPoint(settings, *totals(counts))


def _detection_test(
    fused: NDArray[np.int64], plain: NDArray[np.int64], patients: NDArray[np.intp], max_fp_per_scan: float | None
) -> DetectionTest:
    """Compare counts of settings with boxes to those of settings without."""
    choose = best_elsewhere(max_fp_per_scan)
    with_boxes, without = (elsewhere(of, patients, choose) for of in (fused, plain))
    found = compare(with_boxes, [without], patients, max_fp_per_scan)
    return DetectionTest(found.gain, found.certainty, found.holds)
