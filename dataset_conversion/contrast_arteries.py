"""Pulmonary arteries by contrast, where nobody has drawn them: what is as bright as the blood around the emboli.

An embolus lies in an artery, so the blood around it has the arteries' density; veins, which the bolus reaches later,
have another one in most scans. From the blood around the emboli the region of that density grows inside the lungs'
hull; what else is bright there (veins, heart, bone) is kept apart by a watershed on the vessels' depth.
"""

from __future__ import annotations

import cc3d
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage as ndi

from pe_nnunet.errors import InputError
from pe_nnunet.roi import lung_hull
from pe_nnunet.volumes import spacing_zyx
from pe_nnunet.voxels import Box

BLOOD_ABOVE_HU = 120.0
AROUND_MM = 6.0  # how far from an embolus its artery's blood is looked for
CORE_MM = 1.9  # voxels deeper in a vessel show its density, those nearer to its wall that of the wall as well
SMOOTHING_MM = 1.0
LEVEL_PERCENTILE = 25  # of the blood near emboli, which holds some of the veins beside them
TOLERANCE = 0.13  # of the arteries' density: noise and mixing stay below, most veins above
VESSEL_SHARE = 0.55  # of the arteries' density: darker is no lumen
MIN_SEED_MM3 = 100.0

Bools = npt.NDArray[np.bool_]


def arteries_by_contrast(
    hu: npt.NDArray[np.number], lungs: Bools, hull: Bools, emboli: Bools, spacing_zyx_mm: tuple[float, float, float]
) -> Bools:
    """Grow the arteries from the blood around the emboli.

    Args:
        hu: The crop, (z, y, x).
        lungs: Mask of the lungs without their large vessels.
        hull: Mask of their convex hull, (z, y, x).
        emboli: Mask of the emboli.
        spacing_zyx_mm: Millimetres.

    Returns:
        Arteries, the emboli in them included.

    Raises:
        InputError: PE-CONV-008 if there is no embolus, or no contrast around any.
    """
    from skimage.segmentation import watershed

    smooth = ndi.gaussian_filter(np.asarray(hu, np.float32), SMOOTHING_MM / np.array(spacing_zyx_mm))
    near = _within(emboli, AROUND_MM, spacing_zyx_mm)
    level = _level(smooth, hull & ~lungs & ~emboli, near, spacing_zyx_mm)
    vessel = (smooth > VESSEL_SHARE * level) & hull & ~lungs
    depth_mm = _depth(vessel, spacing_zyx_mm)
    core = vessel & (depth_mm >= CORE_MM)
    alike = ndi.binary_opening(core & (np.abs(smooth - level) <= TOLERANCE * level))
    parts = cc3d.connected_components(np.ascontiguousarray(alike), connectivity=6)
    sizes = np.bincount(parts.ravel())
    touching = np.bincount(parts[near], minlength=len(sizes)) > 0
    seeds = touching & (sizes * float(np.prod(spacing_zyx_mm)) >= MIN_SEED_MM3)
    seeds[0] = False
    markers = np.where(seeds[parts], 1, np.where(core & ~alike, 2, 0)).astype(np.int32)
    grown: Bools = watershed(-depth_mm, markers, mask=vessel) == 1
    return grown | emboli


def contrast_artery_mask(image: sitk.Image, lungs: sitk.Image | None, emboli: npt.NDArray[np.integer]) -> Bools:
    """`arteries_by_contrast` on the images of a case.

    Args:
        image: HU of the crop.
        lungs: Mask of the lungs on the same grid; None where none were found.
        emboli: Mask or ids on that grid, (z, y, x).

    Raises:
        InputError: PE-CONV-008 if there are no lungs, no emboli, or no contrast.
    """
    if lungs is None:
        raise _none("no lungs were found to look between")
    mask = sitk.GetArrayViewFromImage(lungs) > 0
    hu = sitk.GetArrayViewFromImage(image)
    return arteries_by_contrast(hu, mask, lung_hull(lungs), emboli > 0, spacing_zyx(image))


def _level(
    smooth: npt.NDArray[np.float32], tissue: Bools, near: Bools, spacing_zyx_mm: tuple[float, float, float]
) -> float:
    """Density of the blood near the emboli, in HU."""
    box = Box.around(near)
    if box is None:
        raise _none("--artery contrast knows arteries by the emboli in them, and there are none")
    box = box.grown(3 * AROUND_MM, spacing_zyx_mm, near.shape)
    blood = (smooth[box.slices] > BLOOD_ABOVE_HU) & tissue[box.slices]
    found = smooth[box.slices][near[box.slices] & (_depth(blood, spacing_zyx_mm) >= CORE_MM)]
    if not found.size:
        raise _none(f"nothing around the emboli is brighter than {BLOOD_ABOVE_HU:.0f} HU")
    return float(np.percentile(found, LEVEL_PERCENTILE))


def _none(why: str) -> InputError:
    return InputError("PE-CONV-008", f"no arteries by contrast: {why}", "give masks with --artery, or use --scheme pe")


def _within(mask: Bools, reach_mm: float, spacing_zyx_mm: tuple[float, float, float]) -> Bools:
    """What lies within a distance of a mask, the mask apart; computed in a box around it."""
    near = np.zeros_like(mask)
    box = Box.around(mask)
    if box is not None:
        where = box.grown(reach_mm + max(spacing_zyx_mm), spacing_zyx_mm, mask.shape).slices
        near[where] = (ndi.distance_transform_edt(~mask[where], sampling=spacing_zyx_mm) <= reach_mm) & ~mask[where]
    return near


def _depth(mask: Bools, spacing_zyx_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Distance to the surface of a mask in mm."""
    depth: npt.NDArray[np.float64] = ndi.distance_transform_edt(mask, sampling=spacing_zyx_mm)
    return depth
