"""Air in and around a body on a coarse CT: what lies outside, the trachea, gas in stomach and bowel.

All arrays are (z, y, x), growing towards superior, posterior, left.
"""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from pe_nnunet.roi.coarse import Bools, Hu, Spacing, distance_mm, with_neighbours
from pe_nnunet.voxels import Box

AIR_BELOW_HU = -400
OPEN_AIR_HU = -950
TRACHEA_AREA_MM2 = (30.0, 800.0)
TRACHEA_LENGTH_MM = 25.0
GAS_RADIUS_MM = 6.0  # of the largest ball that a body of gas must hold; main bronchi hold none
GAS_VOLUME_MM3 = 10_000.0
PADDING_HU = -1024  # what reading sets it to; open air is noisy, and its mean over a block lies above
TISSUE_ABOVE_HU = -150
CHEST_WALL_MM = 8.0


def open_air_level(hu: Hu) -> float:
    """The HU under which air is open, not lung: 60 HU above the darkest air at the image's edge, at most -950.

    Not every scanner puts air at -1000, and not every lung is denser than -950.
    """
    edges = np.concatenate([array.ravel() for array in (hu[:, [0, -1]], hu[:, :, [0, -1]])])
    air = edges[edges < AIR_BELOW_HU]
    return min(OPEN_AIR_HU, float(np.percentile(air, 10)) + 60.0) if air.size else OPEN_AIR_HU


def enclosed_air(hu: Hu, level: float, spacing_mm: Spacing) -> Bools:
    """Air inside the body: lungs, airways, gas.

    Air that touches a side of the image, or the padding around a round field of view, lies outside, unless the field of
    view cuts a lung there: then a chest wall's thickness of tissue lies before and behind most of it, or, in an image
    cropped close to the lungs, it is dense and reaches no corner. The ends along z do not count, nor does the foam of a
    table, which has the patient on one side only.

    Args:
        hu: The coarse CT.
        level: From `open_air_level`.
        spacing_mm: z, y, x.
    """
    padding = _reaching_sides(hu <= PADDING_HU)
    air = (hu < AIR_BELOW_HU) & ~padding
    labels = cc3d.connected_components(air, connectivity=6)
    at_padding = np.unique(labels[with_neighbours(padding)]) if padding.any() else labels[:0, 0, 0]
    at_corner = np.unique(labels[:, [0, 0, -1, -1], [0, -1, 0, -1]])
    tissue = np.cumsum(hu > TISSUE_ABOVE_HU, axis=1, dtype=np.int16)
    wall = int(np.searchsorted(np.arange(hu.shape[1] + 1) * spacing_mm[1], CHEST_WALL_MM))  # voxels, at least
    flanked = np.minimum(tissue, tissue[:, -1:] - tissue) >= wall
    ids = labels[air]
    voxels = np.bincount(ids, minlength=int(labels.max()) + 1)
    mostly_flanked = 2 * np.bincount(labels[air & flanked], minlength=len(voxels)) > voxels
    close_crop = 2 * np.bincount(ids[hu[air] > level], minlength=len(voxels)) > voxels
    close_crop[np.union1d(at_corner, at_padding)] = False
    inside = np.ones(len(voxels), dtype=bool)
    suspects = np.union1d(_labels_at_sides(labels), at_padding)
    inside[suspects] = (mostly_flanked | close_crop)[suspects]
    inside[0] = False
    enclosed: Bools = inside[labels]
    return enclosed


def _reaching_sides(mask: Bools) -> Bools:
    """Those components of a mask that touch a side of the axial image."""
    labels = cc3d.connected_components(mask, connectivity=6)
    kept = np.zeros(int(labels.max()) + 1, dtype=bool)
    kept[_labels_at_sides(labels)] = True
    kept[0] = False
    reaching: Bools = kept[labels]
    return reaching


def _labels_at_sides(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))


def trachea(air: Bools, spacing_mm: Spacing) -> Bools:
    """The windpipe, and the main bronchi where they run free of lung: long tubes of small cross-section.

    Lung tips have small cross-sections too, but only over a few millimetres of height.

    Args:
        air: Air inside the body.
        spacing_mm: z, y, x.
    """
    z_mm, y_mm, x_mm = spacing_mm
    narrow = np.zeros_like(air)
    for z in np.flatnonzero(air.any(axis=(1, 2))):
        flat = cc3d.connected_components(air[z], connectivity=8)
        area_mm2 = np.bincount(flat.ravel()) * y_mm * x_mm
        small = (area_mm2 >= TRACHEA_AREA_MM2[0]) & (area_mm2 <= TRACHEA_AREA_MM2[1])
        small[0] = False
        narrow[z] = small[flat]
    tubes = cc3d.connected_components(narrow, connectivity=6)
    middle = _middle_slice(air)
    heights = [box[0] for box in cc3d.statistics(tubes)["bounding_boxes"]]
    kept = np.array([(h.stop - h.start) * z_mm >= TRACHEA_LENGTH_MM and h.stop > middle for h in heights])
    kept[0] = False
    found: Bools = kept[tubes]
    return found


def gas(hu: Hu, air: Bools, depth_mm: npt.NDArray[np.float32], spacing_mm: Spacing) -> Bools:
    """Round bodies of pure gas in the lower half, as in stomach and bowel, also where they lie against the lung.

    Gas is told from lung halfway between this patient's lung and -1000 HU; thin air, as in bronchi, is left.

    Args:
        hu: The coarse CT.
        air: Air inside the body.
        depth_mm: Distance of `air` to its surface.
        spacing_mm: z, y, x.
    """
    found = np.zeros_like(air)
    inner = depth_mm > GAS_RADIUS_MM
    if not inner.any():
        return found
    smooth = uniform_filter(hu, 3, output=np.float32)  # noise makes holes in gas
    dark = air & (smooth < gas_level(hu[inner]))
    around = Box.around(dark)
    if around is None:
        return found
    reach_mm = GAS_RADIUS_MM + 2 * max(spacing_mm)
    box = around.grown(reach_mm + max(spacing_mm), spacing_mm, dark.shape)  # all else is far from gas
    found[box.slices] = _bodies(air[box.slices], dark[box.slices], _middle_slice(inner) - box.start[0], spacing_mm)
    return found


def _bodies(air: Bools, dark: Bools, middle: int, spacing_mm: Spacing) -> Bools:
    """Those dark parts that hold a ball and lie below a slice, with the air at their surface."""
    labels = cc3d.connected_components(distance_mm(dark, spacing_mm) > GAS_RADIUS_MM, connectivity=6)
    low = np.array([z < middle for z, _, _ in cc3d.statistics(labels)["centroids"]])
    low[0] = False
    core: Bools = low[labels]
    if not core.any():
        return core
    bodies = air & (distance_mm(~core, spacing_mm) <= GAS_RADIUS_MM + 2 * max(spacing_mm))
    parts = cc3d.connected_components(bodies, connectivity=6)
    large = np.bincount(parts.ravel()) * float(np.prod(spacing_mm)) > GAS_VOLUME_MM3
    large[0] = False
    found: Bools = large[parts]
    return found


def gas_level(inner_hu: Hu) -> float:
    """The HU under which air is gas, not lung: halfway between the lungs' own median and -1000 HU."""
    return 0.5 * (float(np.median(inner_hu)) - 1000.0)


def _middle_slice(mask: Bools) -> int:
    """The slice below which half of the mask lies."""
    below = np.cumsum(np.count_nonzero(mask, axis=(1, 2)))
    return int(np.searchsorted(below, 0.5 * below[-1]))
