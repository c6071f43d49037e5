"""Connected components of a mask: what counts as one embolus, everywhere."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray


def label_components(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], int]:
    """Number the 26-connected components of a mask: voxels that share a face, an edge or a corner belong together.

    Args:
        mask: Boolean, (z, y, x).

    Returns:
        The component number of each voxel (0 outside, then 1, 2, ... in the smallest unsigned type that holds them),
        and how many there are.

    Example:
        >>> label_components(np.eye(2, dtype=bool)[None])[1]
        1
    """
    if mask.size == 0:
        return np.zeros(mask.shape, np.uint16), 0
    # Bytes in one piece, as cc3d 4.1 goes wrong on volumes that are one voxel wide along two axes: booleans make it run
    # out of provisional labels, and of a part of a larger array it reads the wrong voxels.
    whole = np.ascontiguousarray(mask).view(np.uint8)
    labels, count = cc3d.connected_components(whole, connectivity=26, return_N=True)
    return labels, int(count)
