"""The lungs and all that lies between them: where a pulmonary artery can be."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import ConvexHull

COARSE_MM = 4.0


def lung_hull(lungs: sitk.Image, margin_mm: float = 3.0) -> NDArray[np.bool_]:
    """The convex hull of the lungs, widened by a margin.

    Central arteries lie between the lungs, hence within their hull; the chest wall, the spine and most of the abdomen
    do not. The hull is that of the whole volume, not slice by slice: it is wide where a slice shows little lung.

    Args:
        lungs: Mask of both lungs.
        margin_mm: By how much the hull is widened.

    Returns:
        (z, y, x) on the mask's grid; all true where the lungs are too flat to have a hull.
    """
    mask = np.asarray(sitk.GetArrayFromImage(lungs)) > 0
    spacing = np.array(lungs.GetSpacing()[::-1])
    step = np.maximum(1, np.rint(COARSE_MM / spacing)).astype(int)
    coarse = mask[:: step[0], :: step[1], :: step[2]]
    points = np.argwhere(coarse & ~ndi.binary_erosion(coarse)) * (step * spacing)
    if len(points) < 4 or any(np.ptp(points, axis=0) == 0):
        return np.ones(mask.shape, bool)
    z, y, x = np.meshgrid(
        *(np.arange(n) * k * mm for n, k, mm in zip(coarse.shape, step, spacing, strict=True)),
        indexing="ij",
        sparse=True,
    )
    inside = np.ones(coarse.shape, bool)
    for normal_z, normal_y, normal_x, offset in ConvexHull(points).equations:  # a point is inside all half-spaces
        inside &= normal_z * z + normal_y * y + normal_x * x + offset <= 1e-6
    # half a coarse voxel more, as the grid's points stand for what is around them
    reach = margin_mm + float(np.linalg.norm(step * spacing)) / 2
    widened = ndi.distance_transform_edt(~inside, sampling=step * spacing) <= reach
    for axis, count in enumerate(step):
        widened = np.repeat(widened, count, axis)
    return np.ascontiguousarray(widened[tuple(slice(0, n) for n in mask.shape)])
