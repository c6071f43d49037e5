"""The convex hull of the lungs.

Central arteries lie between the lungs, hence within their hull; the chest wall, the spine and most of the abdomen do
not. The hull is that of the whole volume, not slice by slice: it is wide where a slice shows little lung.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import ConvexHull

from pe_nnunet.voxels import Index

COARSE_MM = 4.0


def lung_hull(lungs: sitk.Image, margin_mm: float = 3.0) -> NDArray[np.bool_]:
    """The convex hull of the lungs, widened by a margin.

    Args:
        lungs: Mask of both lungs.
        margin_mm: By how much the hull is widened.

    Returns:
        (z, y, x) on the mask's grid; all true where the lungs are too flat to have a hull.
    """
    hull, step = coarse_hull(lungs, margin_mm)
    for axis, (count, side) in enumerate(zip(lungs.GetSize()[::-1], step, strict=True)):
        hull = hull.take(np.arange(count) // side, axis=axis)
    return hull


def coarse_hull(lungs: sitk.Image, margin_mm: float) -> tuple[NDArray[np.bool_], Index]:
    """`lung_hull` in blocks of about 4 mm.

    Args:
        lungs: Mask of both lungs.
        margin_mm: By how much the hull is widened.

    Returns:
        (z, y, x), a value for each block; and the voxels along the sides of a block (z, y, x).
    """
    mask = sitk.GetArrayViewFromImage(lungs)
    spacing = np.array(lungs.GetSpacing()[::-1])
    step = np.maximum(1, np.rint(COARSE_MM / spacing)).astype(int)
    z_step, y_step, x_step = step.tolist()
    coarse = mask[::z_step, ::y_step, ::x_step] > 0
    points = np.argwhere(coarse & ~ndi.binary_erosion(coarse)) * (step * spacing)
    if len(points) < 4 or any(np.ptp(points, axis=0) == 0):
        return np.ones(coarse.shape, bool), (z_step, y_step, x_step)
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
    return np.asarray(widened), (z_step, y_step, x_step)
