"""A detector's boxes as findings of their own, without a segmenter: how sure they must be, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.detection import Tube, tube_confidence
from pe_nnunet.evaluation.overlap import contingency
from pe_nnunet.fusion.detections import sound_tubes
from pe_nnunet.fusion.outcomes import LabelledScan

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
    kept = sorted(
        (tube for tube in sound_tubes(tubes) if tube.confidence >= confidence), key=lambda tube: -tube.confidence
    )
    labels = np.zeros(tuple(shape), np.uint16)
    for number in range(len(kept), 0, -1):
        labels[tube_confidence([kept[number - 1]], shape) > 0] = number
    return labels


def count_boxes(scans: Sequence[LabelledScan], confidences: Sequence[float] = CONFIDENCES) -> NDArray[np.int64]:
    """Count what boxes of at least each confidence find, by the rules of `count_outcomes`.

    Returns:
        (confidences, scans, 4): emboli found, emboli, true findings, findings.
    """
    counts = np.zeros((len(confidences), len(scans), 4), np.int64)
    for place, scan in enumerate(scans):
        for number, confidence in enumerate(confidences):
            table = contingency(box_labels(scan.tubes or (), scan.truth.shape, confidence), scan.truth)
            touches = table.common_voxels > 0
            counts[number, place] = (
                int(touches.any(axis=0).sum()),
                len(table.truth_ids),
                int(touches.any(axis=1).sum()),
                len(table.prediction_ids),
            )
    return counts
