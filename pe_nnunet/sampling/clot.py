"""What clot does to the image of a stretch of lumen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

EDGE_VOXELS = 0.5  # Gaussian that blends the edges, as the scanner's resolution does
LEAST_SHARE = 0.7  # of clot in a voxel that is labelled so, else an embolus of a few voxels could not be seen
SMOOTH_VOXELS = 0.7
MARGIN = 6  # voxels around the clot that are looked at
SOFT_TISSUE_HU = (-20.0, 110.0)
FLAT_HU = 20.0  # how much a place away from edges may differ from its surroundings
LEAST_TISSUE = 30  # voxels
CLIPPED = 0.1  # share of the clot's voxels from which the image counts as clipped
WHITE_LEFT = 0.85  # what a voxel's difference from the smoothed image keeps of white noise
MAD_TO_SD = 1.4826


def clot_change(
    hu: NDArray[np.float32],
    clot: NDArray[np.bool_],
    clot_hu: float,
    highest_hu: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The change that brings lumen to the attenuation of clot.

    Only what the image has above clot is taken away, so that its noise, its texture and the vessel's rim stay. Where
    the image was clipped flat, noise as strong as in the soft tissue nearby is added.

    Args:
        hu: Hounsfield units.
        clot: Where clot is to be.
        clot_hu: Its attenuation.
        highest_hu: Where the image was clipped.
        rng: For the noise where there is none.

    Returns:
        What to add to `hu`.
    """
    change = np.zeros(hu.shape, np.float32)
    if not clot.any():
        return change
    corners = [(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(clot)]
    box = tuple(slice(max(0, low - MARGIN), high + MARGIN) for low, high in corners)
    part = hu[box]
    share = gaussian_filter(clot[box].astype(np.float32), EDGE_VOXELS)
    share = np.where(clot[box], np.maximum(share, LEAST_SHARE), share)
    smooth = gaussian_filter(part, SMOOTH_VOXELS)
    above = np.maximum(smooth - clot_hu, 0)
    clipped = (smooth[clot[box]] >= highest_hu - 1).mean() > CLIPPED
    noise = rng.normal(0, _tissue_noise(hu), part.shape) if clipped else 0.0
    change[box] = share * (noise - above)
    return change


def _tissue_noise(hu: NDArray[np.float32]) -> float:
    """The SD of the noise in soft tissue away from edges; 0 where there is hardly any."""
    smooth = gaussian_filter(hu, SMOOTH_VOXELS)
    tissue = (smooth > SOFT_TISSUE_HU[0]) & (smooth < SOFT_TISSUE_HU[1])
    tissue &= np.abs(gaussian_filter(hu, 3 * SMOOTH_VOXELS) - smooth) < FLAT_HU
    if tissue.sum() < LEAST_TISSUE:
        return 0.0
    return MAD_TO_SD * float(np.median(np.abs((hu - smooth)[tissue]))) / WHITE_LEFT
