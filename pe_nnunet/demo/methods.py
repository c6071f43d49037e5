"""What each method finds in the held-out scans, at the operating point that was chosen for it on other scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import box_labels
from pe_nnunet.detection.results import read_detections
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.fusion.stored import StoredFusion
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.cohort_scores import CohortScores, summarise
from pe_nnunet.phantom.baseline import threshold_baseline
from pe_nnunet.volumes import find_scans, from_lps, image_like, read_label, read_scan, spacing_zyx, to_lps

BASELINE_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def held_out_scans(out: Path) -> Iterator[tuple[str, sitk.Image, sitk.Image]]:
    """Each held-out scan as it was predicted: case, HU, true emboli.

    Args:
        out: The demo's folder.
    """
    for ref in find_scans(out / "scans" / "to_predict"):
        label = next(iter(sorted((out / "scans" / "test" / ref.case_id).glob("emboli.*"))))
        yield ref.case_id, read_scan(ref).image, read_label(label)


def score_baseline(out: Path, min_embolus_mm3: float) -> tuple[CohortScores, float]:
    """The threshold baseline at the threshold that suits it best on these very scans, which favours it.

    Args:
        out: The demo's folder.
        min_embolus_mm3: Smaller findings are not kept.

    Returns:
        Its scores, and the threshold.
    """
    looks = [
        (case, threshold_baseline(image), _array(truth), spacing_zyx(image))
        for case, image, truth in held_out_scans(out)
    ]
    scored = {
        threshold: summarise(
            [
                score(case, found_in(look, mm, FusionSettings(threshold, min_volume_mm3=min_embolus_mm3)), truth, mm)
                for case, look, truth, mm in looks
            ]
        )
        for threshold in BASELINE_THRESHOLDS
    }
    best = max(scored, key=lambda threshold: (scored[threshold].f1 or 0, scored[threshold].dice or 0))
    return scored[best], best


def score_parts(out: Path, points: StoredFusion) -> tuple[CohortScores, CohortScores]:
    """Segmentation alone and detection alone, from what prediction has kept of both (`--save-parts`).

    Args:
        out: The demo's folder, with predictions.
        points: Calibrated with a detector.
    """
    segmentation, detection = [], []
    for case, image, truth in held_out_scans(out):
        truth_ids, spacing_mm = _array(truth), spacing_zyx(image)
        probability = sitk.ReadImage(str(out / "predictions" / f"{case}_segmentation_probability.nii.gz"))
        found = found_in(sitk.GetArrayFromImage(probability), spacing_mm, points.segmentation.chosen)
        segmentation.append(score(case, found, truth_ids, spacing_mm))
        boxes = boxes_in(out / "predictions" / f"{case}_detections.json", image, points.boxes_confidence or 0.0)
        detection.append(score(case, boxes, truth_ids, spacing_mm))
    return summarise(segmentation), summarise(detection)


def boxes_in(detections: Path, image: sitk.Image, confidence: float) -> NDArray[Any]:
    """Boxes as findings, on the grid of the scan.

    Args:
        detections: `<case>_detections.json`.
        image: The scan.
        confidence: The least.
    """
    image_lps = to_lps(image)
    labels = box_labels(read_detections(detections).emboli, image_lps.GetSize()[::-1], confidence)
    return _array(from_lps(image_like(labels, image_lps), image))


def found_in(
    probability: NDArray[np.float32], spacing_mm: tuple[float, float, float], settings: FusionSettings
) -> NDArray[Any]:
    """Ids of the emboli that a map holds."""
    return np.asarray(find_emboli(probability, spacing_mm, settings).labels)


def score(case: str, found: NDArray[Any], truth: NDArray[Any], spacing_mm: tuple[float, float, float]) -> CaseScores:
    """Findings against the true emboli."""
    return evaluate_case(found, truth, spacing_mm, case_id=case)


def _array(image: sitk.Image) -> NDArray[Any]:
    return np.asarray(sitk.GetArrayFromImage(image))
