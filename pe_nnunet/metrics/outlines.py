"""How well emboli are outlined: distances of surfaces, and panoptic quality of single emboli."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from skimage.measure import marching_cubes, mesh_surface_area

from pe_nnunet.metrics.overlap import Contingency
from pe_nnunet.metrics.ratios import EmptyPolicy
from pe_nnunet.voxels import boxes_by_id, islands

ROUNDING_MM = 1e-6  # a surface exactly at the tolerance counts, whatever the spacing's last digits are
PERCENT = 95
MIN_IOU = 0.5  # above it, pairs are unique whatever the assignment

# Of the elements of a surface: distance to the other surface, mm, and area, mm2.
Distances = tuple[NDArray[np.float64], NDArray[np.float64]]


def surface_distances(
    prediction_ids: NDArray[Any], truth_ids: NDArray[Any], spacing_mm: Sequence[float]
) -> tuple[Distances, Distances] | None:
    """How far the surfaces of two masks, each the voxels of any id, lie from each other.

    Args:
        prediction_ids: Ids of the findings, 0 background, (z, y, x).
        truth_ids: Ids of the emboli, the same shape.
        spacing_mm: (z, y, x).

    Returns:
        From the prediction's surface to the label's, and back; None where a side is empty.

    Example:
        >>> mask = np.ones((1, 4, 4), np.uint8)
        >>> both = surface_distances(mask, mask, (1, 1, 1))
        >>> surface_dice(both, 1.0), hd95_mm(both), assd_mm(both)
        (1.0, 0.0, 0.0)
    """
    (found, found_mm2), (true, true_mm2) = (surface_of(ids, spacing_mm) for ids in (prediction_ids, truth_ids))
    if not len(found) or not len(true):
        return None
    return (KDTree(true).query(found)[0], found_mm2), (KDTree(found).query(true)[0], true_mm2)


def surface_dice(both: tuple[Distances, Distances], tolerance_mm: float) -> float:
    """Area within the tolerance of the other surface, of the area of both."""
    off_mm, area_mm2 = map(np.concatenate, zip(*both, strict=True))
    return float(area_mm2[off_mm <= tolerance_mm + ROUNDING_MM].sum() / area_mm2.sum())


def hd95_mm(both: tuple[Distances, Distances]) -> float:
    """The larger of both directions' 95th percentiles of distance."""
    return max(_percentile(*one) for one in both)


def assd_mm(both: tuple[Distances, Distances]) -> float:
    """Mean distance of both surfaces (average symmetric surface distance)."""
    off_mm, area_mm2 = map(np.concatenate, zip(*both, strict=True))
    return float(off_mm @ area_mm2 / area_mm2.sum())


def surface_of(ids: NDArray[Any], spacing_mm: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The surface around the voxels of any id; what touches the volume's edge is closed there.

    Args:
        ids: 0 background, (z, y, x).
        spacing_mm: (z, y, x).

    Returns:
        Of its elements: the places in mm, (elements, 3), z, y, x, from the same point for all surfaces of a scan; and
        the areas in mm2.
    """
    area_of = _areas(tuple(float(mm) for mm in spacing_mm))
    places, areas = [np.zeros((0, 3))], [np.zeros(0)]
    for box in islands(boxes_by_id(ids).values()):
        mask = np.pad(ids[box.slices] != 0, 1).view(np.uint8)
        code = np.zeros([n - 1 for n in mask.shape], np.uint8)
        for bit, corner in enumerate(np.ndindex(2, 2, 2)):
            code |= mask[tuple(slice(c, c + n) for c, n in zip(corner, code.shape, strict=True))] << bit
        found = np.nonzero((code != 0) & (code != 255))
        places.append((np.stack(found, axis=1) + box.start) * np.asarray(spacing_mm, float))
        areas.append(area_of[code[found]])
    return np.concatenate(places), np.concatenate(areas)


@lru_cache(maxsize=8)
def _areas(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """The area between eight voxels, in mm2, by which of them are inside: bit n for the n-th in (z, y, x) order."""
    areas = np.zeros(256)
    for code in range(1, 255):
        cube = (code >> np.arange(8) & 1).reshape(2, 2, 2).astype(np.float32)
        corners, triangles, _, _ = marching_cubes(cube, 0.5, spacing=spacing_mm)
        areas[code] = mesh_surface_area(corners, triangles)
    return areas


def _percentile(off_mm: NDArray[np.float64], area_mm2: NDArray[np.float64]) -> float:
    """The distance within which 95 % of the area lies."""
    order = np.argsort(off_mm)
    covered = np.cumsum(area_mm2[order])
    return float(off_mm[order][np.searchsorted(covered, PERCENT / 100 * covered[-1] * (1 - 1e-12))])


def panoptic_quality(table: Contingency, empty: EmptyPolicy) -> float | None:
    """Sum of the intersections over union above 0.5, over the pairs and half of what is in none.

    Args:
        table: From `contingency`.
        empty: What it is worth where a side is empty.

    Example:
        >>> from pe_nnunet.metrics.overlap import contingency
        >>> table = contingency(np.array([[[1, 1, 0, 0, 0]]]), np.array([[[1, 1, 1, 0, 2]]]))
        >>> round(panoptic_quality(table, EmptyPolicy()), 3), matched_dice(table, EmptyPolicy())
        (0.444, 0.8)
    """
    findings, emboli = table.common_voxels.shape
    if not findings or not emboli:
        return empty.harmonic(0, findings, emboli)
    iou = _iou(table)
    return float(2 * iou[iou > MIN_IOU].sum() / (findings + emboli))


def matched_dice(table: Contingency, _: EmptyPolicy) -> float | None:
    """How well an embolus is outlined where it is found: mean Dice of the pairs of any overlap; None without a pair.

    Emboli and findings are paired one to one for the highest total overlap, which may give a pair above a half away for
    two smaller ones.

    Args:
        table: From `contingency`.
    """
    if not table.common_voxels.size:
        return None
    iou = _iou(table)
    pairs = linear_sum_assignment(iou, maximize=True)
    dice = 2 * table.common_voxels[pairs] / (table.prediction_voxels[pairs[0]] + table.truth_voxels[pairs[1]])
    touching = iou[pairs] > 0
    return float(dice[touching].mean()) if touching.any() else None


def _iou(table: Contingency) -> NDArray[np.float64]:
    sizes = table.prediction_voxels[:, None] + table.truth_voxels[None, :]
    return np.asarray(table.common_voxels / (sizes - table.common_voxels))
