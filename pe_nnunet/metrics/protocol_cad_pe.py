"""The CAD-PE challenge's rule: a marker detects the emboli that it lies in, or within a tolerance of.

Source: http://www.cad-pe.org, Rules: markers are voxels; of several markers in one embolus the one of the highest
confidence counts and the others are disregarded. How far a marker may lie off (eps 0, 2, 5 mm) is measured here from
the centre of the marker's voxel to that of the embolus's nearest voxel, and a marker within eps of two emboli detects
both: that is our reading, as the rules do not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from pe_nnunet.metrics.froc import ScanHits
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.voxels import boxes_by_id

ROUNDING_MM = 1e-6  # a marker exactly at eps hits, whatever the spacing's last digits are


def cad_pe_hits(
    case_id: str,
    truth_ids: NDArray[Any],
    markers: Sequence[VoxelMarker],
    spacing_mm: Sequence[float],
    eps_mm: Sequence[float],
) -> tuple[ScanHits, ...]:
    """Score one scan at several tolerances.

    Args:
        case_id: The scan.
        truth_ids: One id an embolus, 0 background, (z, y, x).
        markers: On the same grid.
        spacing_mm: (z, y, x).
        eps_mm: Tolerances.

    Returns:
        One entry a tolerance, emboli in ascending order of ids.

    Example:
        >>> truth = np.array([[[1, 1, 0, 0, 2]]])
        >>> hits = cad_pe_hits("a", truth, [VoxelMarker((0, 0, 3), 0.8)], (1, 1, 2), [0, 2])
        >>> [(h.embolus_scores, h.false_scores) for h in hits]
        [((None, None), (0.8,)), ((None, 0.8), ())]
    """
    scores = np.array([marker.probability for marker in markers])
    away_mm, voxels = _distances(truth_ids, markers, np.asarray(spacing_mm, float), max(eps_mm, default=0.0))
    volumes_mm3 = tuple(float(n * np.prod(spacing_mm)) for n in voxels)
    result = []
    for eps in eps_mm:
        near = away_mm <= eps + ROUNDING_MM
        best = tuple(float(scores[row].max()) if row.any() else None for row in near)
        false = tuple(float(score) for score in scores[~near.any(axis=0)])
        result.append(ScanHits(case_id, best, false, volumes_mm3))
    return tuple(result)


def _distances(
    truth_ids: NDArray[Any], markers: Sequence[VoxelMarker], spacing_mm: NDArray[np.float64], most_mm: float
) -> tuple[NDArray[np.float64], list[int]]:
    """From each embolus to each marker in mm, infinity beyond `most_mm`: (emboli, markers); and the emboli's sizes."""
    points_mm = np.array([marker.voxel_zyx for marker in markers], float).reshape(-1, 3) * spacing_mm
    rows, voxels = [], []
    for number, box in boxes_by_id(truth_ids).items():
        inside = np.argwhere(truth_ids[box.slices] == number)
        row = np.full(len(points_mm), np.inf)
        low = np.array(box.start) * spacing_mm - most_mm - ROUNDING_MM
        high = (np.array(box.stop) - 1) * spacing_mm + most_mm + ROUNDING_MM
        close = ((points_mm >= low) & (points_mm <= high)).all(axis=1)
        if close.any():  # a tree of the embolus's own voxels, and only where a marker can be near
            tree = KDTree((inside + box.start) * spacing_mm)
            row[close] = tree.query(points_mm[close])[0]
        rows.append(row)
        voxels.append(len(inside))
    return np.array(rows).reshape(len(rows), len(points_mm)), voxels
