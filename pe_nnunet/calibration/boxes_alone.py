"""A detector's boxes as findings of their own, without a segmenter: how sure they must be, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.calibration.outcomes import LabelledScan
from pe_nnunet.detection import Tube
from pe_nnunet.detection.box_tubes import paint
from pe_nnunet.fusion.detections import sound_tubes
from pe_nnunet.metrics.overlap import contingency

CONFIDENCES = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True)
class BoxChoice:
    """The least confidence of a box, and what it comes to on the scans that it was chosen on.

    Attributes:
        confidence: Boxes of at least this confidence are findings.
        sensitivity: Found emboli of all emboli.
        false_positives_per_scan: Over all scans.
        f1: Of emboli.
        found: Emboli found.
        emboli: Emboli.
    """

    confidence: float
    sensitivity: float
    false_positives_per_scan: float
    f1: float
    found: int
    emboli: int


def box_labels(tubes: Sequence[Tube], shape: Sequence[int], confidence: float) -> NDArray[np.uint16]:
    """Boxes painted as instances, so that they can be evaluated like masks; where two overlap, the surer is seen.

    Args:
        tubes: In voxels of the volume.
        shape: z, y, x.
        confidence: Boxes that are less sure are left out.

    Returns:
        (z, y, x), ids from 1 on by falling confidence.
    """
    return _painted([tube for tube in _surest_first(tubes) if tube.confidence >= confidence], shape)


def count_boxes(scans: Sequence[LabelledScan], confidences: Sequence[float] = CONFIDENCES) -> NDArray[np.int64]:
    """Count what boxes of at least each confidence find, by the rules of `count_outcomes`.

    Returns:
        (confidences, scans, 4): emboli found, emboli, true findings, findings.
    """
    counts = np.zeros((len(confidences), len(scans), 4), np.int64)
    for place, scan in enumerate(scans):
        tubes = _surest_first(scan.tubes or ())
        table = contingency(_painted(tubes, scan.truth.shape), scan.truth)
        for number, confidence in enumerate(confidences):
            # the surer lie on top, so that leaving out the others uncovers nothing of theirs
            kept = table.prediction_ids <= sum(tube.confidence >= confidence for tube in tubes)
            touches = table.common_voxels[kept] > 0
            found, true = int(touches.any(axis=0).sum()), int(touches.any(axis=1).sum())
            counts[number, place] = found, len(table.truth_ids), true, int(kept.sum())
    return counts


def _surest_first(tubes: Sequence[Tube]) -> list[Tube]:
    return sorted(sound_tubes(tubes), key=lambda tube: -tube.confidence)


def _painted(tubes: Sequence[Tube], shape: Sequence[int]) -> NDArray[np.uint16]:
    """Ids by place, from 1 on; of two that overlap the earlier is seen."""
    labels = np.zeros(tuple(shape), np.uint16)
    for number in range(len(tubes), 0, -1):
        paint(tubes[number - 1], labels, number)
    return labels
