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

from pe_nnunet.components import label_components
from pe_nnunet.evaluation.hits import ScanHits
from pe_nnunet.evaluation.markers import VoxelMarker
from pe_nnunet.evaluation.voxels import instance_boxes

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
    numbered = _dilated(truth_ids, [math.ceil(eps_mm / mm) for mm in spacing_mm]) if eps_mm > 0 else truth_ids
    best: list[float | None] = [None] * int(numbered.max(initial=0))
    false = []
    for marker in markers:
        if marker.probability < LEAST_PROBABILITY:
            continue
        inside = all(0 <= i < n for i, n in zip(marker.voxel_zyx, numbered.shape, strict=True))
        embolus = int(numbered[marker.voxel_zyx]) if inside else 0
        if embolus:
            best[embolus - 1] = max(marker.probability, best[embolus - 1] or 0.0)
        else:
            false.append(marker.probability)
    return ScanHits(case_id, tuple(best), tuple(false))


def _dilated(truth_ids: NDArray[Any], radius_zyx: Sequence[int]) -> NDArray[Any]:
    """Dilate each embolus within its own surroundings, and number what comes of all of them."""
    mask = np.zeros(truth_ids.shape, bool)
    dilate = sitk.BinaryDilateImageFilter()
    dilate.SetKernelType(sitk.sitkBall)
    dilate.SetKernelRadius([int(n) for n in reversed(radius_zyx)])
    for number, box in instance_boxes(truth_ids):
        around = tuple(
            slice(max(side.start - n, 0), min(side.stop + n, size))
            for side, n, size in zip(box, radius_zyx, truth_ids.shape, strict=True)
        )
        embolus = sitk.GetImageFromArray((truth_ids[around] == number).astype(np.uint8))
        mask[around] |= sitk.GetArrayFromImage(dilate.Execute(embolus)) > 0
    return label_components(mask)[0]
