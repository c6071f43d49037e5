"""How settings that were chosen on single folds do on the mean of all folds, which is what prediction uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import EMBOLI, LabelledScan, count_findings
from pe_nnunet.calibration.further_scans import FurtherScan
from pe_nnunet.calibration.objective import rates
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.volumes import spacing_zyx

SHIFT_THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))


def measure_shift(
    scans: Iterable[FurtherScan],
    folds: Sequence[str],
    predict: Callable[[sitk.Image, str, Sequence[sitk.Image]], NDArray[np.float32]],
    settings: FusionSettings,
) -> dict[str, Any]:
    """Apply settings that were chosen on single folds to the maps of single folds, and to the mean of all.

    Args:
        scans: With their truth; no fold was trained on them.
        folds: Two or more.
        predict: The probability of a CT and the channels beside it by one fold, (z, y, x).
        settings: What was calibrated; boxes do not count here.

    Returns:
        What `fusion.json` holds: numbers of `scans` and `emboli`, the `folds`, sensitivity and false positives a scan
        of `single_...` folds (their mean) and of the `mean_...` of the folds (no sensitivity without emboli), the
        `threshold` that was calibrated, and the `equal_threshold` at which the mean of the folds comes nearest to the
        false positives of single folds.
    """
    settings = replace(settings, box_weight=0.0, no_box_penalty=0.0)
    seed = settings.seed - settings.threshold
    tried = [
        replace(settings, threshold=t, seed_threshold=min(1.0, t + seed))
        for t in SHIFT_THRESHOLDS
        if t >= settings.candidate_threshold
    ]
    single, mean, count = np.zeros(7, np.int64), np.zeros((1 + len(tried), 7), np.int64), 0
    for name, image, truth, ignored, channels in scans:
        maps = [predict(image, fold, channels) for fold in folds]
        mm = spacing_zyx(image)
        of_folds = [LabelledScan(name, probability, truth, mm, ignored=ignored) for probability in maps]
        single += count_findings(of_folds, [settings])[0].sum(axis=0)
        of_mean = replace(of_folds[0], probability=np.mean(maps, axis=0, dtype=np.float32))
        mean += count_findings([of_mean], [settings, *tried])[:, 0]
        count += 1
    single_sensitivity, single_fp, _ = rates(single / len(folds), count)
    mean_sensitivity, mean_fp, _ = rates(mean, count)
    emboli = int(mean[0, EMBOLI])
    nearest = min(
        range(len(tried)), key=lambda k: (abs(mean_fp[1 + k] - single_fp), abs(tried[k].threshold - settings.threshold))
    )
    return {
        "scans": count,
        "emboli": emboli,
        "folds": list(folds),
        "single_sensitivity": float(single_sensitivity) if emboli else None,
        "single_fp_per_scan": float(single_fp),
        "mean_sensitivity": float(mean_sensitivity[0]) if emboli else None,
        "mean_fp_per_scan": float(mean_fp[0]),
        "threshold": settings.threshold,
        "equal_threshold": tried[nearest].threshold,
    }
