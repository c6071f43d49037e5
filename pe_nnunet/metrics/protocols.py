"""The FROC protocols: when a marker hits an embolus, and how the curve is read.

Source: `cad-pe`, http://www.cad-pe.org, Rules: markers are voxels; of several markers in one embolus the one of the
highest confidence counts and the others are disregarded. How far a marker may lie off (eps 0, 2, 5 mm) is measured here
from the centre of the marker's voxel to that of the embolus's nearest voxel, and a marker within eps of two emboli
detects both: that is our reading, as the rules do not say.

Source: `aanet`, the rule by which AANet's published figures were computed (MICCAI 2022; its repository's
`evaluation.py`), with its peculiarities. With a tolerance the label is made a mask, dilated by a ball of ceil(eps /
spacing) voxels along each axis, and numbered anew by its 26-connected components, so that emboli that come to touch are
one; a marker hits the one that its voxel lies in. (The script tries every marker on every embolus and uses none up, but
a voxel holds one number, so that no marker hits two.) Without a tolerance the label's ids are taken as they are, and an
id absent below the highest counts as an embolus that is missed. Markers under 0.1 are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.metrics.froc import Froc, ScanHits
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.metrics.ratios import mean
from pe_nnunet.voxels import Box, boxes_by_id, islands, label_components

ProtocolName = Literal["cad-pe", "aanet"]
ROUNDING_MM = 1e-6  # a marker exactly at eps hits, whatever the spacing's last digits are
MIN_PROBABILITY = 0.1  # of `aanet`


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
    truth_ids: NDArray[Any], markers: Sequence[VoxelMarker], spacing_mm: NDArray[np.float64], max_mm: float
) -> tuple[NDArray[np.float64], list[int]]:
    """From each embolus to each marker in mm, infinity beyond `max_mm`: (emboli, markers); and the emboli's sizes."""
    from scipy.spatial import KDTree

    points_mm = np.array([marker.voxel_zyx for marker in markers], float).reshape(-1, 3) * spacing_mm
    rows, voxels = [], []
    for number, box in boxes_by_id(truth_ids).items():
        inside = np.argwhere(truth_ids[box.slices] == number)
        row = np.full(len(points_mm), np.inf)
        low = np.array(box.start) * spacing_mm - max_mm - ROUNDING_MM
        high = (np.array(box.stop) - 1) * spacing_mm + max_mm + ROUNDING_MM
        close = ((points_mm >= low) & (points_mm <= high)).all(axis=1)
        if close.any():  # a tree of the embolus's own voxels, and only where a marker can be near
            tree = KDTree((inside + box.start) * spacing_mm)
            row[close] = tree.query(points_mm[close])[0]
        rows.append(row)
        voxels.append(len(inside))
    return np.array(rows).reshape(len(rows), len(points_mm)), voxels


def aanet_hits(
    case_id: str,
    truth_ids: NDArray[Any],
    markers: Sequence[VoxelMarker],
    spacing_mm: Sequence[float],
    eps_mm: Sequence[float],
) -> tuple[ScanHits, ...]:
    """Score one scan at several tolerances.

    Args:
        case_id: The scan.
        truth_ids: The label as it is stored: ids, or a mask, which is then one embolus at eps 0; (z, y, x).
        markers: On the same grid.
        spacing_mm: (z, y, x).
        eps_mm: Tolerances, 0 or more.

    Example:
        >>> truth = np.array([[[1, 0, 0, 3]]])
        >>> [hits.embolus_scores for hits in aanet_hits("a", truth, [VoxelMarker((0, 0, 3), 0.8)], (1, 1, 1), [0, 1])]
        [(None, None, 0.8), (0.8,)]
    """
    markers = [marker for marker in markers if marker.probability >= MIN_PROBABILITY]
    result = []
    for eps in eps_mm:
        radius = [math.ceil(eps / mm) for mm in spacing_mm]
        best: list[float | None] = []
        hit: set[int] = set()
        for box, numbered in _dilated(truth_ids, radius) if eps > 0 else [(Box.whole(truth_ids.shape), truth_ids)]:
            scores: list[float | None] = [None] * int(numbered.max(initial=0))
            z, y, x = box.start
            for place, marker in enumerate(markers):
                k, j, i = marker.voxel_zyx
                if embolus := marker._replace(voxel_zyx=(k - z, j - y, i - x)).value_in(numbered):
                    scores[embolus - 1] = max(marker.probability, scores[embolus - 1] or 0.0)
                    hit.add(place)
            best += scores
        false = tuple(marker.probability for place, marker in enumerate(markers) if place not in hit)
        result.append(ScanHits(case_id, tuple(best), false))
    return tuple(result)


def _dilated(truth_ids: NDArray[Any], radius_zyx: Sequence[int]) -> list[tuple[Box, NDArray[Any]]]:
    """Dilate each embolus, and number what comes of all, in parts of the scan that nothing joins to one another."""
    import SimpleITK as sitk

    dilate = sitk.BinaryDilateImageFilter()
    dilate.SetKernelType(sitk.sitkBall)
    dilate.SetKernelRadius([int(n) for n in reversed(radius_zyx)])
    around = [(number, box.padded(radius_zyx, truth_ids.shape)) for number, box in boxes_by_id(truth_ids).items()]
    parts = []
    for island in islands(box for _, box in around):
        mask = np.zeros(island.shape, bool)
        for number, box in around:
            if island.union(box) == island:
                embolus = sitk.GetImageFromArray((truth_ids[box.slices] == number).astype(np.uint8))
                inside = tuple(slice(b - a, c - a) for a, b, c in zip(island.start, box.start, box.stop, strict=True))
                mask[inside] |= sitk.GetArrayFromImage(dilate.Execute(embolus)) > 0
        parts.append((island, label_components(mask)[0]))
    return parts


def _highest_within(curve: Froc, fp_rate: float) -> float:
    """The highest sensitivity at no more than so many false markers a scan."""
    return float(curve.sensitivity[curve.fp_per_scan <= fp_rate][-1])


def _last_corner_below(curve: Froc, fp_rate: float) -> float:
    """The sensitivity at the last corner of the curve with fewer false markers a scan than that.

    The authors' curve has only corners, points on a straight line between two others being dropped (scikit-learn's
    `roc_curve`), so that it can lie well below.
    """
    rates, sensitivity = curve.fp_per_scan, curve.sensitivity
    if len(sensitivity) >= 3:
        turns = (np.abs(np.diff(rates, 2)) > 1e-12) | (np.abs(np.diff(sensitivity, 2)) > 1e-12)
        # The published curve gets its origin after the points are dropped, so that its first real point always stays.
        turns[0] = True
        keep = np.concatenate([[True], turns, [True]])
        rates, sensitivity = rates[keep], sensitivity[keep]
    return float(sensitivity[rates < fp_rate][-1])


@dataclass(frozen=True)
class Protocol:
    """A way to score markers.

    Attributes:
        hits: As `cad_pe_hits`.
        reading: From a curve of a cohort with emboli and false markers a scan, above 0, to a sensitivity.
        fp_rates: Those over which the score is the mean.
        by_size: Whether its emboli are the label's, and can be told by their volume.
    """

    hits: Callable[[str, NDArray[Any], Sequence[VoxelMarker], Sequence[float], Sequence[float]], tuple[ScanHits, ...]]
    reading: Callable[[Froc, float], float]
    fp_rates: tuple[float, ...]
    by_size: bool = False


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "cad-pe": Protocol(cad_pe_hits, _highest_within, (0.125, 0.25, 0.5, 1, 2, 4, 8), by_size=True),
    "aanet": Protocol(aanet_hits, _last_corner_below, (0.5, 1, 2, 3, 4, 5, 6)),
}


def sensitivity_at(curve: Froc, fp_rate: float, protocol: ProtocolName) -> float | None:
    """Read the curve at so many false markers a scan, above 0; None where there are no emboli."""
    return PROTOCOLS[protocol].reading(curve, fp_rate) if len(curve.sensitivity) else None


def score(curve: Froc, protocol: ProtocolName) -> float | None:
    """The mean sensitivity over the protocol's false-positive rates; None where there are no emboli."""
    return mean(sensitivity_at(curve, rate, protocol) for rate in PROTOCOLS[protocol].fp_rates)
