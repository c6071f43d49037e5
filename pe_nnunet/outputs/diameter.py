"""The greatest extent of an embolus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist


def max_diameter_mm(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """The largest distance between two points of the surface half way between voxels inside and outside.

    Source: "maximum 3D diameter" of the Image Biomarker Standardisation Initiative (Zwanenburg et al., Radiology 295,
    2020; code L0JK). The vertices of its mesh, by marching cubes at one half, are the middles of voxel faces, which are
    taken here without the mesh.

    Args:
        mask: At least one voxel, (z, y, x).
        spacing_mm: (z, y, x).

    Example:
        >>> max_diameter_mm(np.ones((1, 1, 1), bool), (2.0, 1.0, 0.5))
        2.0
        >>> round(max_diameter_mm(np.ones((1, 1, 4), bool), (1.0, 1.0, 1.0)), 3)
        4.0
    """
    padded = np.pad(mask, 1)
    faces = []
    for axis in range(3):
        middles = np.argwhere(np.diff(padded, axis=axis)).astype(np.float64)
        middles[:, axis] += 0.5
        faces.append(middles)
    points = np.concatenate(faces) * np.asarray(spacing_mm, np.float64)
    corners = points[ConvexHull(points).vertices]
    return float(pdist(corners).max())
