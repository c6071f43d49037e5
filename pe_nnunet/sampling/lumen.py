"""Where an embolus could lie as well: bright lumen of arteries, outside the emboli that are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from pe_nnunet.voxels import label_components

NOISE_VOXELS = 0.6  # Gaussian against noise, before a threshold
AIR_HU = -400.0
WALL_MM = 3.0  # wall and partial volume between lumen and air
WIDEST_MM = 7.0  # radius of a branch inside the lung; wider ones touch veins, heart and aorta
NARROWER, WIDER = 0.8, 1.4  # radii of the same branch, of the radius at the embolus
CONTRAST = 0.75  # of the branch's level: below lies its wall
SAME_LEVEL = 0.12  # how much the level varies along a branch
CLIPPED_HU = 10.0  # below the highest: contrast that was clipped, less what smoothing takes
BESIDE_VOXELS = 2  # around an embolus, where its branch shows
REACH_RADII, REACH_MM = 5.0, 20.0  # how far along a branch is still the same branch
Mask = NDArray[np.bool_]


def artery_lumen(hu: NDArray[np.float32], artery: Mask, pe: Mask, bright_hu: float) -> Mask:
    """Opacified lumen of known arteries.

    Args:
        hu: Hounsfield units.
        artery: Arteries, clot included.
        pe: Emboli that are there; none is placed beside them.
        bright_hu: Contrast lies above.
    """
    return np.asarray(artery & _bright(hu, bright_hu) & ~_around(pe))


def branch_lumen(
    hu: NDArray[np.float32],
    pe: Mask,
    bright_hu: float,
    spacing_mm: Sequence[float],
    valid: Mask | None = None,
    *,
    highest_hu: float = float("inf"),
) -> Mask:
    """Opacified lumen of the branches that hold emboli, where nobody drew the arteries.

    From each embolus it follows vessel of about the same radius, for a stretch. A vein, the aorta, bone or a node is
    reached only through a neck or something wider. Branches wider than 7 mm in radius, and what is not close to air,
    are left out: in the hilum and the mediastinum nothing lies between an artery and its neighbours.

    Args:
        hu: Hounsfield units.
        pe: Emboli that are there.
        bright_hu: Contrast lies above.
        spacing_mm: Of the array's axes.
        valid: Where the array holds image and not padding.
        highest_hu: Where the image was clipped. A branch whose contrast was is left out: nothing tells it from others.
    """
    smooth = gaussian_filter(hu, NOISE_VOXELS)
    tissue = hu > AIR_HU if valid is None else (hu > AIR_HU) | ~valid
    if tissue.all():  # close to no air; without any, the distance transform measures to a point outside the array
        return np.zeros(pe.shape, bool)
    to_air_mm = distance_transform_edt(tissue, spacing_mm)
    ids = label_components(pe if pe.ndim == 3 else pe[None])[0].reshape(pe.shape)
    lumen = np.zeros(pe.shape, bool)
    for number in range(1, int(ids.max()) + 1):
        lumen |= _along_branch(smooth, ids == number, pe, to_air_mm, (bright_hu, highest_hu), spacing_mm)
    return np.asarray(lumen & ~_around(pe))


def _along_branch(
    smooth: NDArray[np.float32],
    embolus: Mask,
    pe: Mask,
    to_air_mm: NDArray[np.float64],
    contrast_hu: tuple[float, float],
    spacing_mm: Sequence[float],
) -> Mask:
    """Lumen of one embolus' branch."""
    bright_hu, highest_hu = contrast_hu
    beside = binary_dilation(embolus, iterations=BESIDE_VOXELS) & ~pe & (smooth > bright_hu)
    if not beside.any():
        return np.zeros(pe.shape, bool)  # occluded: nothing tells how bright the branch is
    level = float(np.quantile(smooth[beside], 0.75))
    if level >= highest_hu - CLIPPED_HU:
        return np.zeros(pe.shape, bool)
    bright = smooth > max(bright_hu, CONTRAST * level)
    radius = distance_transform_edt(bright | pe, spacing_mm)
    here = float(radius[embolus].max())
    if here > WIDEST_MM:
        return np.zeros(pe.shape, bool)
    same = (radius >= NARROWER * here) & (radius <= WIDER * here) & (to_air_mm <= radius + WALL_MM)
    same &= pe | (np.abs(smooth - level) < SAME_LEVEL * level)
    steps = max(1, int(min(REACH_RADII * here, REACH_MM) / min(spacing_mm)))
    core: Mask = binary_dilation(embolus & same, iterations=steps, mask=same) & ~pe
    if not core.any():
        return core
    distance, nearest = distance_transform_edt(~core, spacing_mm, return_indices=True)
    return np.asarray(bright & (distance < radius[tuple(nearest)]))


def _bright(hu: NDArray[Any], bright_hu: float) -> Mask:
    return np.asarray(gaussian_filter(hu, NOISE_VOXELS) > bright_hu)


def _around(pe: Mask) -> Mask:
    """Emboli and their neighbours: emboli that touch would count as one."""
    return np.asarray(binary_dilation(pe, np.ones((3,) * pe.ndim)))


EDGE_VOXELS = 0.5  # Gaussian that blends the edges, as the scanner's resolution does
MIN_SHARE = 0.7  # of clot in a voxel that is labelled so, else an embolus of a few voxels could not be seen
SMOOTH_VOXELS = 0.7
MARGIN = 6  # voxels around the clot that are looked at
SOFT_TISSUE_HU = (-20.0, 110.0)
FLAT_HU = 20.0  # how much a place away from edges may differ from its surroundings
MIN_TISSUE = 30  # voxels
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
    share = np.where(clot[box], np.maximum(share, MIN_SHARE), share)
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
    if tissue.sum() < MIN_TISSUE:
        return 0.0
    return MAD_TO_SD * float(np.median(np.abs((hu - smooth)[tissue]))) / WHITE_LEFT
