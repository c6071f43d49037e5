"""Voxels that a label ignores: of what lies in them nobody says whether it is an embolus.

They are neither true nor false, in every number: before anything is counted or measured, findings lose the voxels that
lie there, and markers there are left out. So a finding that lies in ignored voxels as a whole does not count; of one
that reaches beyond them the part outside counts, under its own id. Emboli have no ignored voxel to begin with. Surfaces
are those of the voxels that are left: where an embolus and a finding run into ignored voxels, both end at the same
place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.voxels import foreground


def without_ignored(ids: NDArray[Any], ignored: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Ids of findings or emboli without the voxels that are ignored.

    Args:
        ids: One id each, 0 background, (z, y, x).
        ignored: The same shape; None where nothing is.

    Example:
        >>> without_ignored(np.array([[[1, 1, 0, 2]]]), np.array([[[False, True, True, True]]])).tolist()
        [[[1, 0, 0, 0]]]
    """
    return ids if ignored is None else np.where(ignored, 0, ids).astype(ids.dtype)


def emboli_without_ignored(ids: NDArray[Any], ignored: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Ids of emboli without the voxels that are ignored; higher ids take the numbers of those that vanish.

    So an embolus that lies in ignored voxels as a whole leaves no gap, which the protocol `aanet` counts as missed.

    Args:
        ids: One id each, 0 background, (z, y, x).
        ignored: The same shape; None where nothing is.

    Example:
        >>> emboli_without_ignored(np.array([[[1, 2, 0, 5]]]), np.array([[[False, True, True, False]]])).tolist()
        [[[1, 0, 0, 4]]]
    """
    left = without_ignored(ids, ignored)
    gone = np.setdiff1d(foreground(ids)[1], foreground(left)[1]) if ignored is not None else np.zeros(0)
    return left if not len(gone) else (left - np.searchsorted(gone, left)).astype(ids.dtype)


def markers_outside(markers: Iterable[VoxelMarker], ignored: NDArray[np.bool_] | None) -> tuple[VoxelMarker, ...]:
    """The markers that do not lie in ignored voxels; outside the scan nothing is ignored.

    Args:
        markers: On the grid of `ignored`.
        ignored: (z, y, x); None where nothing is.

    Example:
        >>> markers = [VoxelMarker((0, 0, 0), 0.9), VoxelMarker((0, 0, 1), 0.8), VoxelMarker((0, 0, 7), 0.7)]
        >>> [marker.probability for marker in markers_outside(markers, np.array([[[True, False]]]))]
        [0.8, 0.7]
    """
    return tuple(marker for marker in markers if ignored is None or not marker.value_in(ignored))
