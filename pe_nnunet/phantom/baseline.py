"""What a threshold can do: the method that a network has to beat.

Vessels with contrast are bright; clot in them is a gap of the attenuation of clot. So: find what is bright between and
in the lungs, close the gaps in it, and take from the gaps what has 0 to 110 HU and is no larger than an embolus can be.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi

from pe_nnunet.phantom.grid import Floats
from pe_nnunet.phantom.settings import MAX_MM3
from pe_nnunet.voxels import label_components

Mask = NDArray[np.bool_]

CLOT_HU = (0.0, 110.0)
VESSEL_HU = 140.0
LUNG_HU = -500.0
CLOSING_MM = 8.0
"""Radius: gaps as wide as the main arteries are closed."""
SMOOTHING_MM = 0.8
MIN_VESSEL_MM3 = 50.0
MIN_LUNG_MM3 = 50_000.0


def threshold_baseline(image: sitk.Image) -> Floats:
    """Find clot by thresholds alone.

    Args:
        image: A CTPA in HU.

    Returns:
        Per voxel (z, y, x) how much it looks like clot, 0 to 1: 0 outside the gaps in what is bright, and in them the
        more, the more of the neighbourhood is bright and the nearer the attenuation is to 60 HU.
    """
    hu = sitk.GetArrayFromImage(image).astype(np.float32)
    spacing = np.asarray(image.GetSpacing()[::-1])
    smooth = ndi.gaussian_filter(hu, SMOOTHING_MM / spacing)  # against the noise
    chest = _lungs_and_between(smooth, spacing)
    bright = _large(chest & (smooth > VESSEL_HU), spacing, at_least_mm3=MIN_VESSEL_MM3)
    gap = _closed(bright, spacing) & ~bright & chest & (smooth > CLOT_HU[0]) & (smooth < CLOT_HU[1])
    surrounded = ndi.gaussian_filter(bright.astype(np.float32), 0.6 * CLOSING_MM / spacing)
    typical = np.clip(1 - np.abs(smooth - 60) / 60, 0, 1)
    score = np.where(gap, np.sqrt(np.clip(1.6 * surrounded, 0, 1) * typical), 0).astype(np.float32)
    # What hangs together beyond the size of the largest embolus is heart muscle, spine, the tissue of the mediastinum.
    score[_large(score > 0.2, spacing, at_least_mm3=MAX_MM3)] = 0
    return np.asarray(score)


def _lungs_and_between(hu: Floats, spacing: NDArray[np.float64]) -> Mask:
    """Per slice, what lies between the leftmost and rightmost, or the front and the back, of the air in the body."""
    air, count = ndi.label(hu < LUNG_HU)
    sides = (air[:, 0], air[:, -1], air[:, :, 0], air[:, :, -1])
    keep = np.bincount(air.ravel(), minlength=count + 1) * float(np.prod(spacing)) > MIN_LUNG_MM3
    keep[0] = False
    keep[np.unique(np.concatenate([side.ravel() for side in sides]))] = False
    lungs = keep[air]
    inside = np.zeros_like(lungs)
    for axis in (1, 2):
        before = np.maximum.accumulate(lungs, axis)
        after = np.flip(np.maximum.accumulate(np.flip(lungs, axis), axis), axis)
        inside |= before & after
    return np.asarray(inside)


def _closed(mask: Mask, spacing: NDArray[np.float64]) -> Mask:
    """The mask, closed by a ball."""
    near = ndi.distance_transform_edt(~mask, sampling=spacing) <= CLOSING_MM
    return np.asarray(ndi.distance_transform_edt(near, sampling=spacing) > CLOSING_MM)


def _large(mask: Mask, spacing: NDArray[np.float64], *, at_least_mm3: float) -> Mask:
    """The mask's 26-connected pieces of this volume and more."""
    pieces, _ = label_components(mask)
    large = np.bincount(pieces.ravel()) * float(np.prod(spacing)) >= at_least_mm3
    large[0] = False
    return np.asarray(large[pieces])
