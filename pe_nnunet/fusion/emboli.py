"""Emboli from a probability map: hysteresis, connected components, minimum volume, and a table of all candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.fusion.candidates import Candidate, Emboli, after_suppression, ranked_candidates, suppressed_by
from pe_nnunet.fusion.components import at_least_volume, measure_components, require_region
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.voxels import Box, label_components

ROUNDING = 1e-3  # a mean of overlapping windows may leave [0, 1] by that much, in half precision


def find_emboli(
    probability: NDArray[np.float32],
    spacing_mm: Sequence[float],
    settings: FusionSettings | None = None,
    *,
    roi_mask: NDArray[np.bool_] | None = None,
) -> Emboli:
    """Part a probability map into emboli and list every candidate.

    A **kept embolus** is a 26-connected component of the voxels of at least `threshold` that holds a voxel of at least
    `seed_threshold` and has at least `min_volume_mm3`. A **candidate** is a 26-connected component of the voxels of at
    least `candidate_threshold`. Every kept embolus lies in exactly one candidate; the table holds each finding once:

    - a candidate with kept emboli in it is listed as those emboli, one row each, and not as itself;
    - a candidate without any is one row that is not kept, whatever made it fail: probability or volume.

    So a faint halo never doubles an embolus, two clots joined by a faint bridge stay two rows, and lowering the score
    at which a row counts as a finding runs from the kept emboli down to `candidate_threshold` without a gap.

    Under `nms_mm` a row is left out whose marker lies that near to the marker of a row before it. No voxel is lost by
    that: the row that stands for a kept embolus takes over its voxels and its volume.

    Args:
        probability: Embolus probability in [0, 1], (z, y, x).
        spacing_mm: (z, y, x).
        settings: The thresholds; the defaults if None.
        roi_mask: Voxels outside it count as probability 0; the whole volume if None.

    Returns:
        Labels of the kept emboli and the table of all candidates.

    Raises:
        InputError: PE-FUS-002 if a value is not a number or lies outside [0, 1].
        GeometryError: PE-FUS-003 if shapes or spacing do not fit.

    Example:
        >>> probability = np.zeros((1, 1, 7), np.float32)
        >>> probability[0, 0] = [0.6, 0.9, 0.2, 0.7, 0, 0, 0.3]
        >>> found = find_emboli(probability, (1, 1, 1), FusionSettings(min_volume_mm3=1))
        >>> found.labels[0, 0].tolist()
        [1, 1, 0, 2, 0, 0, 0]
        >>> [(c.id, round(c.probability, 2), c.volume_mm3, c.kept) for c in found.candidates]
        [(1, 0.9, 2.0, True), (2, 0.7, 1.0, True), (3, 0.3, 1.0, False)]
    """
    settings = settings or FusionSettings()
    spacing = _checked_spacing(spacing_mm)
    probability = np.asarray(probability, np.float32)
    require_region(roi_mask, probability.shape)
    check_probability(probability)
    candidate = probability >= settings.candidate_threshold
    if roi_mask is not None:
        candidate &= roi_mask
    box = Box.around(candidate)
    if box is None:
        return Emboli(np.zeros(probability.shape, np.uint16), (), settings)

    candidate, held = candidate[box.slices], probability[box.slices]
    kept_labels, kept_rows = _kept_emboli(candidate & (held >= settings.threshold), held, spacing, settings)
    regions, count = label_components(candidate)
    statistics = measure_components(regions, count, held, spacing)
    explained = {int(regions[row.voxel_zyx]) for row in kept_rows}
    del regions, candidate
    others = [k for k in range(count) if k + 1 not in explained]
    found = [*kept_rows, *ranked_candidates(statistics, others, spacing, kept=False)]

    markers_mm = np.array([row.voxel_zyx for row in found]).reshape(-1, 3) * spacing
    suppressor = suppressed_by(markers_mm, settings.nms_mm)
    _, place = np.unique(suppressor[: len(kept_rows)], return_inverse=True)
    ids = _in_few_bytes(np.append(0, place + 1))  # a map of int64 would take the most memory of all
    found = after_suppression(found, suppressor.tolist())

    rows = tuple(replace(row, id=number) for number, row in enumerate(found, 1))
    return Emboli(ids[kept_labels], rows, settings).placed(box, probability.shape)


def _kept_emboli(
    strong: NDArray[np.bool_],
    probability: NDArray[np.float32],
    spacing: tuple[float, float, float],
    settings: FusionSettings,
) -> tuple[NDArray[Any], list[Candidate]]:
    """Rows of the kept emboli in their final order, and a map of their places in that order (1, 2, ...)."""
    labels, count = label_components(strong)
    found = measure_components(labels, count, probability, spacing)
    enough = at_least_volume(found.voxels * np.prod(spacing), settings.min_volume_mm3)
    keep = np.flatnonzero(enough & (found.highest >= np.float32(settings.seed)))
    rows = ranked_candidates(found, keep.tolist(), spacing, kept=True)
    place = np.zeros(count + 1, np.int64)
    for number, row in enumerate(rows, 1):
        place[row.id] = number
    return _in_few_bytes(place)[labels], rows


def _in_few_bytes(ids: NDArray[np.int64]) -> NDArray[Any]:
    """Ids as uint16, or as uint32 where there are more than 65535."""
    return ids.astype(np.uint16 if ids.max() <= np.iinfo(np.uint16).max else np.uint32)


def _checked_spacing(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise GeometryError("PE-FUS-003", f"spacing {spacing} mm: expected three positive numbers (z, y, x)")
    return spacing[0], spacing[1], spacing[2]


def check_probability(probability: NDArray[np.float32]) -> None:
    """Check that a map holds probabilities, rounding aside.

    Args:
        probability: (z, y, x).

    Raises:
        InputError: PE-FUS-002 if a value is not a number or lies outside [0, 1].
        GeometryError: PE-FUS-003 if the map has not three axes.
    """
    if probability.ndim != 3:
        raise GeometryError("PE-FUS-003", f"probability map of shape {probability.shape}: expected (z, y, x)")
    if probability.size:
        low, high = float(probability.min()), float(probability.max())
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # also where either is NaN
            raise InputError(
                "PE-FUS-002",
                f"probability map with values from {low:g} to {high:g}: expected numbers from 0 to 1",
                "give probabilities, not logits, and look for NaN in the scan or the model",
            )
