"""How far settings chosen on single folds are off for the mean of all folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.outcomes import EMBOLI, FINDINGS, FOUND, TRUE, LabelledScan, count_outcomes
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.volumes import spacing_zyx

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))


@dataclass(frozen=True)
class FoldShift:
    """The same settings on the same scans, which no fold was trained on.

    Attributes:
        scans: How many.
        emboli: In all of them.
        folds: Folds.
        single_sensitivity: Of single folds, their mean.
        single_fp_per_scan: Of single folds, their mean.
        mean_sensitivity: Of the mean of the folds.
        mean_fp_per_scan: Of the mean of the folds.
        threshold: That was calibrated.
        equal_threshold: At which the mean of the folds comes nearest to the false positives of single folds.
    """

    scans: int
    emboli: int
    folds: tuple[str, ...]
    single_sensitivity: float
    single_fp_per_scan: float
    mean_sensitivity: float
    mean_fp_per_scan: float
    threshold: float
    equal_threshold: float

    def to_json(self) -> dict[str, Any]:
        """For `fusion.json`."""
        return asdict(self)


def measure_shift(
    scans: Sequence[tuple[str, sitk.Image, NDArray[Any]]],
    folds: Sequence[str],
    predict: Callable[[sitk.Image, str], NDArray[np.float32]],
    settings: FusionSettings,
) -> FoldShift:
    """Apply settings to the maps of single folds, and to their mean.

    Args:
        scans: Name, image in LPS axes, ids of its emboli (z, y, x).
        folds: Two or more.
        predict: The probability of an image by one fold, (z, y, x).
        settings: What was calibrated; boxes do not count here.
    """
    settings = replace(settings, box_weight=0.0, no_box_penalty=0.0)
    seed = settings.seed - settings.threshold
    tried = [
        replace(settings, threshold=t, seed_threshold=min(1.0, t + seed))
        for t in THRESHOLDS
        if t >= settings.candidate_threshold
    ]
    single, mean = np.zeros(4), np.zeros((1 + len(tried), 4))
    for name, image, truth in scans:
        maps = [predict(image, fold) for fold in folds]
        for held in maps:
            single += _counts(name, held, truth, image, [settings])[0] / len(folds)
        mean += _counts(name, np.mean(maps, axis=0, dtype=np.float32), truth, image, [settings, *tried])
    single_fp = float(single[FINDINGS] - single[TRUE]) / len(scans)
    mean_fp = (mean[:, FINDINGS] - mean[:, TRUE]) / len(scans)
    emboli = round(float(single[EMBOLI]))
    return FoldShift(
        scans=len(scans),
        emboli=emboli,
        folds=tuple(folds),
        single_sensitivity=float(single[FOUND]) / max(emboli, 1),
        single_fp_per_scan=single_fp,
        mean_sensitivity=float(mean[0, FOUND]) / max(emboli, 1),
        mean_fp_per_scan=float(mean_fp[0]),
        threshold=settings.threshold,
        equal_threshold=min(
            tried, key=lambda s: (abs(mean_fp[1 + tried.index(s)] - single_fp), abs(s.threshold - settings.threshold))
        ).threshold,
    )


def _counts(
    name: str, held: NDArray[np.float32], truth: NDArray[Any], image: sitk.Image, settings: Sequence[FusionSettings]
) -> NDArray[np.float64]:
    return count_outcomes([LabelledScan(name, held, truth, spacing_zyx(image))], settings)[:, 0].astype(float)
