"""Doubts about a scan that are noted and stop nothing: slices too thick for small emboli, and no contrast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage as ndi

from pe_nnunet.errors import Note
from pe_nnunet.roi.hull import coarse_hull
from pe_nnunet.volumes import spacing_zyx

CONTRAST_HU = 200.0  # less in the brightest central vessel: no contrast, or too late a phase
THICK_SLICES_MM = 3.0
_DEEP_MM = 12.0  # inside the hull: ribs, sternum and most of the spine lie nearer to its surface
_VESSEL_MM = 10.0  # side of the cube that is averaged: what is thinner is no central vessel
_VESSEL_ML = 5.0  # volume of such cubes' centres that must be as bright: a catheter or a bone's edge is less


def scan_notes(image: sitk.Image, lungs: sitk.Image | None) -> list[Note]:
    """Warnings about a scan on which emboli may not be seen, or not all.

    Args:
        image: HU of the whole scan, axes in LPS order.
        lungs: Mask of the lungs on the same grid; None where none were found.
    """
    notes = []
    thickness_mm = image.GetSpacing()[2]
    if thickness_mm > THICK_SLICES_MM + 1e-3:
        text = f"slices every {thickness_mm:.3g} mm, at most {THICK_SLICES_MM:g} expected: small emboli do not show"
        notes.append(Note("PE-CONV-030", "warning", text))
    if lungs is None:
        return notes
    level = central_vessel_hu(image, lungs)
    if level < CONTRAST_HU:
        text = f"{level:.0f} HU in the brightest central vessel, {CONTRAST_HU:.0f} expected: no contrast, or too late"
        notes.append(Note("PE-CONV-029", "warning", text))
    return notes


def central_vessel_hu(image: sitk.Image, lungs: sitk.Image) -> float:
    """HU that 5 ml of vessel between the lungs reach: that of the brightest, averaged over 10 mm.

    Looked at is what lies deep in the lungs' hull and not behind their centre, where the spine is.

    Args:
        image: HU of the whole scan, axes in LPS order.
        lungs: Mask of the lungs on the same grid, 0 and 1.

    Returns:
        HU; minus infinity where there is nothing between the lungs.
    """
    hull, step = coarse_hull(lungs, 0.0)
    lung, hu = (_blocks(sitk.GetArrayViewFromImage(one), step) for one in (lungs, image))
    inside = hull[tuple(slice(n) for n in lung.shape)]
    coarse_mm = tuple(k * mm for k, mm in zip(step, spacing_zyx(image), strict=True))
    deep = ndi.distance_transform_edt(np.pad(inside, 1), sampling=coarse_mm)[1:-1, 1:-1, 1:-1] > _DEEP_MM
    rows = lung.sum((0, 2))
    centre = float(np.average(np.arange(len(rows)), weights=rows)) if rows.any() else len(rows)
    deep &= (lung < 0.1) & (np.arange(len(rows)) <= centre + 0.5)[None, :, None]
    mean = ndi.uniform_filter(hu, [max(1, round(_VESSEL_MM / mm)) for mm in coarse_mm])
    found = np.sort(mean[deep])[::-1]
    count = round(_VESSEL_ML * 1000 / float(np.prod(coarse_mm)))
    return float(found[min(count, len(found) - 1)]) if len(found) else -np.inf


def _blocks(array: npt.NDArray[np.generic], step: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Means of blocks, slab by slab; what is left over at the ends goes."""
    z, y, x = (n // k for n, k in zip(array.shape, step, strict=True))
    means = np.empty((z, y, x), np.float32)
    for place in range(z):
        slab = array[place * step[0] : (place + 1) * step[0], : y * step[1], : x * step[2]]
        rows = slab.astype(np.float32).sum(0).reshape(y, step[1], -1).sum(1)
        means[place] = rows.reshape(y, x, step[2]).sum(2)
    means /= np.prod(step)
    return means
