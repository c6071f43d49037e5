"""The rule by which AANet's published figures were computed, with its peculiarities.

Source: AANet (MICCAI 2022), its repository's `evaluation.py`. With a tolerance the label is made a mask, dilated by a
ball of ceil(eps / spacing) voxels along each axis, and numbered anew by its 26-connected components, so that emboli
that come to touch are one; a marker hits the one that its voxel lies in. (The script tries every marker on every
embolus and uses none up, but a voxel holds one number, so that no marker hits two.) Without a tolerance the label's ids
are taken as they are, and an id absent below the highest counts as an embolus that is missed. Markers under 0.1 are
left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.metrics.froc import ScanHits
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.voxels import Box, boxes_by_id, islands, label_components

LEAST_PROBABILITY = 0.1


def aanet_hits(
    case_id: str,
    truth_ids: NDArray[Any],
    markers: Sequence[VoxelMarker],
    spacing_mm: Sequence[float],
    eps_mm: float,
) -> ScanHits:
    """Score one scan at one tolerance.

    Args:
        case_id: The scan.
        truth_ids: The label as it is stored: ids, or a mask, which is then one embolus at eps 0; (z, y, x).
        markers: On the same grid.
        spacing_mm: (z, y, x).
        eps_mm: The tolerance, 0 or more.

    Example:
        >>> truth = np.array([[[1, 0, 0, 3]]])
        >>> aanet_hits("a", truth, [VoxelMarker((0, 0, 3), 0.8)], (1, 1, 1), 0).embolus_scores
        (None, None, 0.8)
        >>> aanet_hits("a", truth, [VoxelMarker((0, 0, 3), 0.8)], (1, 1, 1), 1).embolus_scores
        (0.8,)
    """
    radius = [math.ceil(eps_mm / mm) for mm in spacing_mm]
    parts = _dilated(truth_ids, radius) if eps_mm > 0 else [(Box.whole(truth_ids.shape), truth_ids)]
    best: list[float | None] = []
    hit: set[int] = set()
    for box, numbered in parts:
        scores: list[float | None] = [None] * int(numbered.max(initial=0))
        for place, marker in enumerate(markers):
            within = all(a <= i < b for a, i, b in zip(box.start, marker.voxel_zyx, box.stop, strict=True))
            if not within or marker.probability < LEAST_PROBABILITY:
                continue
            z, y, x = (i - a for i, a in zip(marker.voxel_zyx, box.start, strict=True))
            if embolus := int(numbered[z, y, x]):
                scores[embolus - 1] = max(marker.probability, scores[embolus - 1] or 0.0)
                hit.add(place)
        best += scores
    false = (m.probability for place, m in enumerate(markers) if place not in hit)
    return ScanHits(case_id, tuple(best), tuple(p for p in false if p >= LEAST_PROBABILITY))


def _dilated(truth_ids: NDArray[Any], radius_zyx: Sequence[int]) -> list[tuple[Box, NDArray[Any]]]:
    """Dilate each embolus, and number what comes of all, in parts of the scan that nothing joins to one another."""
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
