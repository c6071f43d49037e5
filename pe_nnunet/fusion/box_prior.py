"""A detector's boxes as a prior of the probability map: log-odds rise in boxes and fall in findings without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.detection import Tube, tube_confidence
from pe_nnunet.detection.box_tubes import usable
from pe_nnunet.fusion.components import require_region
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.voxels import Index, label_components

SURE = 1e-6  # probabilities nearer to 0 or 1 count as this near: log-odds of 14, which no box overrules


def fuse(
    probability: NDArray[np.float32],
    tubes: Sequence[Tube] | None,
    settings: FusionSettings,
    *,
    start: Index = (0, 0, 0),
    roi_mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Combine a probability map with detected emboli.

    Tubes of less than `box_confidence` are left out. Log-odds are raised inside a tube by `box_weight` times the
    log-odds of its confidence above those of `box_confidence`, and lowered by `no_box_penalty` in a finding (a
    component of at least `candidate_threshold`) that no tube touches. Nothing is left outside the region of interest.

    Args:
        probability: Of the segmenters, (z, y, x).
        tubes: Detected emboli; None without a detector, which changes nothing.
        settings: The weights.
        start: The map's first voxel, in the voxels that tubes are given in.
        roi_mask: The region of interest; everything if None.

    Returns:
        (z, y, x), a new array.

    Raises:
        GeometryError: PE-FUS-003 if the region has another shape.

    Example:
        >>> from pe_nnunet.detection import SliceBox
        >>> from pe_nnunet.voxels import Box
        >>> tube = Tube(Box((0, 0, 0), (1, 1, 2)), 0.9, (SliceBox(0, 0.0, 0.0, 1.0, 2.0, 0.9),))
        >>> weak = np.array([[[0.1, 0.0, 0.0, 0.5]]], np.float32)
        >>> fused = fuse(weak, [tube], FusionSettings(box_weight=1, no_box_penalty=np.log(4)))
        >>> fused.astype(float).round(3).tolist()
        [[[0.5, 0.0, 0.0, 0.2]]]
    """
    require_region(roi_mask, probability.shape)
    fused = probability.astype(np.float32)
    if tubes is not None and settings.uses_detection:
        confidence = tube_confidence(valid_tubes(tubes), probability.shape, start)
        fused = shifted(fused, confidence, support(probability, confidence, settings.candidate_threshold), settings)
    if roi_mask is not None:
        fused *= roi_mask
    return fused


def support(
    probability: NDArray[np.float32], confidence: NDArray[np.float32], candidate_threshold: float
) -> NDArray[np.float32]:
    """How sure the surest tube is that touches the finding of a voxel.

    Args:
        probability: Of the segmenters, (z, y, x).
        confidence: Of the tubes, 0 outside them.
        candidate_threshold: A finding is a component of at least this probability.

    Returns:
        (z, y, x): 0 in findings that no tube touches, 1 where there is no finding.
    """
    labels, count = label_components(probability >= candidate_threshold)
    surest = np.zeros(count + 1, np.float32)
    touched = confidence > 0
    np.maximum.at(surest, labels[touched], confidence[touched])
    surest[0] = 1
    return np.asarray(surest[labels])


def shifted(
    probability: NDArray[np.float32],
    confidence: NDArray[np.float32],
    supported: NDArray[np.float32],
    settings: FusionSettings,
) -> NDArray[np.float32]:
    """Probabilities with log-odds raised in tubes and lowered in findings without one.

    Args:
        probability: Of the segmenters, any shape.
        confidence: Of the tubes, 0 outside them.
        supported: As `support` gives it.
        settings: The weights.
    """
    result: NDArray[np.float32] = probability.copy()
    lowest = np.float32(settings.box_confidence)
    alone = supported < lowest
    where = ((confidence >= lowest) | alone) & (probability > 0)  # what was never looked at, or ruled out, stays 0
    above = np.maximum(log_odds(confidence[where]) - log_odds(np.asarray(lowest)), 0)
    odds = log_odds(probability[where]) + settings.box_weight * above - settings.no_box_penalty * alone[where]
    result[where] = 1 / (1 + np.exp(-odds))
    return result


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """Finite also for 0 and 1."""
    held = np.clip(probability.astype(np.float64), SURE, 1 - SURE)
    return np.asarray(np.log(held / (1 - held)))


def valid_tubes(tubes: Sequence[Tube]) -> list[Tube]:
    """Tubes without what cannot be: confidences that are no probability, boxes without an inside or not finite.

    Args:
        tubes: As any detector gave them.

    Returns:
        The tubes that are left, each with its valid boxes.
    """
    kept = ((tube, tuple(usable(tube.slices))) for tube in tubes if 0 < tube.confidence <= 1)
    return [replace(tube, slices=slices) for tube, slices in kept if slices]
