"""How well emboli are outlined: distances of surfaces, and panoptic quality of single emboli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from skimage.measure import marching_cubes, mesh_surface_area

from pe_nnunet.metrics.empty_policy import EmptyPolicy
from pe_nnunet.metrics.overlap import Contingency
from pe_nnunet.voxels import boxes_by_id, islands

ROUNDING_MM = 1e-6  # a surface exactly at the tolerance counts, whatever the spacing's last digits are
PERCENT = 95


@dataclass(frozen=True)
class SurfaceScores:
    """Of all emboli of a scan together; None where a number is not defined.

    Attributes:
        surface_dice: Area within the tolerance of the other surface, of the area of both; `EmptyPolicy` decides where
            one side is empty.
        hd95_mm: The larger of both directions' 95th percentiles of distance; None where a side is empty.
        assd_mm: Mean distance of both surfaces (average symmetric surface distance); None where a side is empty.
    """

    surface_dice: float | None = None
    hd95_mm: float | None = None
    assd_mm: float | None = None


@dataclass(frozen=True)
class Surface:
    """Elements of a surface.

    Attributes:
        place_mm: (elements, 3), z, y, x, from the same point for all surfaces of a scan.
        area_mm2: (elements,).
    """

    place_mm: NDArray[np.float64]
    area_mm2: NDArray[np.float64]


def surface_scores(
    prediction_ids: NDArray[Any],
    truth_ids: NDArray[Any],
    spacing_mm: Sequence[float],
    tolerance_mm: float,
    empty: EmptyPolicy,
) -> SurfaceScores:
    """Compare the surfaces of two masks, each the voxels of any id.

    Args:
        prediction_ids: Ids of the findings, 0 background, (z, y, x).
        truth_ids: Ids of the emboli, the same shape.
        spacing_mm: (z, y, x).
        tolerance_mm: Surfaces this near count as the same.
        empty: What the surface Dice is worth where a side is empty.

    Example:
        >>> mask = np.ones((1, 4, 4), np.uint8)
        >>> surface_scores(mask, mask, (1, 1, 1), 1.0, EmptyPolicy())
        SurfaceScores(surface_dice=1.0, hd95_mm=0.0, assd_mm=0.0)
    """
    found, true = surface_of(prediction_ids, spacing_mm), surface_of(truth_ids, spacing_mm)
    if not len(found.area_mm2) or not len(true.area_mm2):
        return SurfaceScores(empty.harmonic(0, len(found.area_mm2), len(true.area_mm2)))
    off_found = KDTree(true.place_mm).query(found.place_mm)[0]
    off_true = KDTree(found.place_mm).query(true.place_mm)[0]
    off, area = np.concatenate([off_found, off_true]), np.concatenate([found.area_mm2, true.area_mm2])
    return SurfaceScores(
        surface_dice=float(area[off <= tolerance_mm + ROUNDING_MM].sum() / area.sum()),
        hd95_mm=max(_percentile(off_found, found.area_mm2), _percentile(off_true, true.area_mm2)),
        assd_mm=float(off @ area / area.sum()),
    )


def surface_of(ids: NDArray[Any], spacing_mm: Sequence[float]) -> Surface:
    """The surface around the voxels of any id; what touches the volume's edge is closed there.

    Args:
        ids: 0 background, (z, y, x).
        spacing_mm: (z, y, x).
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
    return Surface(np.concatenate(places), np.concatenate(areas))


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


LEAST_IOU = 0.5  # above it, pairs are unique whatever the assignment


@dataclass(frozen=True)
class PanopticScores:
    """Of one scan; None where a number is not defined.

    Attributes:
        panoptic_quality: Sum of the overlaps (intersection over union) of the pairs above 0.5, over their number and
            half the emboli and findings in no such pair. `EmptyPolicy` decides where one side is empty.
        matched_dice: Mean Dice of the pairs of any overlap: how well an embolus is outlined where it is found; None
            where there is no pair.
    """

    panoptic_quality: float | None = None
    matched_dice: float | None = None


def panoptic_scores(table: Contingency, empty: EmptyPolicy) -> PanopticScores:
    """Match emboli and findings, and score the pairs.

    Args:
        table: From `contingency`.
        empty: What panoptic quality is worth where a side is empty.

    Example:
        >>> from pe_nnunet.metrics.overlap import contingency
        >>> truth = np.array([[[1, 1, 1, 0, 2]]])
        >>> finding = np.array([[[1, 1, 0, 0, 0]]])
        >>> scores = panoptic_scores(contingency(finding, truth), EmptyPolicy())
        >>> round(scores.panoptic_quality, 3), scores.matched_dice
        (0.444, 0.8)
    """
    findings, emboli = table.common_voxels.shape
    if not findings or not emboli:
        return PanopticScores(empty.harmonic(0, findings, emboli))
    sizes = table.prediction_voxels[:, None] + table.truth_voxels[None, :]
    iou = table.common_voxels / (sizes - table.common_voxels)
    pairs = linear_sum_assignment(iou, maximize=True)
    overlap, dice = iou[pairs], (2 * table.common_voxels / sizes)[pairs]
    # Those above a half are unique, but the assignment may give one away for two smaller ones: they are counted by
    # themselves.
    good = iou[iou > LEAST_IOU]
    return PanopticScores(
        panoptic_quality=float(2 * good.sum() / (findings + emboli)),
        matched_dice=float(dice[overlap > 0].mean()) if (overlap > 0).any() else None,
    )
