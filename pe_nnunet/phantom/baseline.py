"""What a threshold can do: the method that a network has to beat.

Vessels with contrast are bright; clot in them is a gap of 0 to 110 HU. So: find the bright vessels between and in the lungs,
close the gaps in them, and take from the gaps what has the attenuation of clot.
"""

from __future__ import annotations

import cc3d
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

CLOT_HU = (0.0, 110.0)
VESSEL_HU = 140.0
CLOSING_MM = 5.0


def threshold_baseline(image: sitk.Image) -> Floats:
    """Find clot by thresholds alone.

    Args:
        image: A CTPA in HU.

    Returns:
        Per voxel (z, y, x) how much it looks like clot, 0 to 1: 0 outside the gaps in bright vessels, and within them
        the higher the more of the neighbourhood is bright and the nearer the attenuation is to 60 HU.
    """
    hu = sitk.GetArrayFromImage(image).astype(np.float32)
    spacing = np.asarray(image.GetSpacing()[::-1])
    smooth = ndi.gaussian_filter(hu, 0.8 / spacing)  # against the noise
    chest = _between_the_ribs(smooth, spacing)
    bright = _vessels(smooth, chest, spacing)
    away = ndi.distance_transform_edt(~bright, sampling=spacing)
    filled = ndi.distance_transform_edt(away <= CLOSING_MM, sampling=spacing) > CLOSING_MM  # closing by a ball
    low, high = CLOT_HU
    gap = filled & ~bright & chest & (smooth > low) & (smooth < high)
    surrounded = ndi.gaussian_filter(bright.astype(np.float32), 3.0 / spacing)
    typical = np.clip(1 - np.abs(smooth - 60) / 60, 0, 1)
    score = np.sqrt(np.clip(1.6 * surrounded, 0, 1) * typical)
    return np.where(gap, score, 0).astype(np.float32)


def _between_the_ribs(hu: Floats, spacing: NDArray[np.float64]) -> Mask:
    """The lungs and what lies between them: per slice, the convex outline of the air inside the body, roughly."""
    air = hu < -500
    labels, count = ndi.label(air)
    border = np.unique(
        np.concatenate([labels[:, 0].ravel(), labels[:, -1].ravel(), labels[:, :, 0].ravel(), labels[:, :, -1].ravel()])
    )
    keep = np.ones(count + 1, bool)
    keep[border] = keep[0] = False
    size = np.bincount(labels.ravel(), minlength=count + 1) * float(np.prod(spacing))
    lungs = (keep & (size > 50_000))[labels]
    inside = np.zeros_like(lungs)
    for k in np.flatnonzero(lungs.any(axis=(1, 2))):
        rows = lungs[k]
        spans = [
            np.maximum.accumulate(rows, axis) & np.flip(np.maximum.accumulate(np.flip(rows, axis), axis), axis)
            for axis in (0, 1)
        ]
        inside[k] = spans[0] | spans[1]
    return inside


def _vessels(hu: Floats, chest: Mask, spacing: NDArray[np.float64]) -> Mask:
    """Bright voxels of the chest, in connected pieces of 50 mm3 and more."""
    pieces = cc3d.connected_components(chest & (hu > VESSEL_HU), connectivity=26)
    size = np.bincount(pieces.ravel()) * float(np.prod(spacing))
    size[0] = 0
    return np.asarray((size > 50)[pieces])
