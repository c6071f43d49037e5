"""Air in and around a body on a coarse CT: what lies outside, the trachea, gas in stomach and bowel.

All arrays are (z, y, x), growing towards superior, posterior, left.
"""

from __future__ import annotations

import cc3d
import numpy as np
import numpy.typing as npt

from pe_nnunet.roi.coarse import Bools, Hu, Spacing, distance_mm

AIR_BELOW_HU = -400
OPEN_AIR_HU = -950
TRACHEA_AREA_MM2 = (30.0, 800.0)
TRACHEA_LENGTH_MM = 25.0
GAS_RADIUS_MM = 6.0  # of the largest ball that a body of gas must hold; main bronchi hold none
GAS_VOLUME_MM3 = 10_000.0
CUT_PIECE_MM3 = 50_000.0
CHEST_WALL_MM = 20.0


def open_air_level(hu: Hu) -> float:
    """The HU under which air is open, not lung: 60 HU above the darkest air at the image's edge, at most -950.

    Not every scanner puts air at -1000, and not every lung is denser than -950.
    """
    edges = np.concatenate([array.ravel() for array in (hu[:, [0, -1]], hu[:, :, [0, -1]])])
    air = edges[edges < AIR_BELOW_HU]
    return min(OPEN_AIR_HU, float(np.percentile(air, 10)) + 60.0) if air.size else OPEN_AIR_HU


def split_air(hu: Hu, level: float) -> tuple[Bools, Bools]:
    """Air inside the body (lungs, airways, gas), and the air around it.

    Air that reaches a corner of the axial image is outside. Air that touches only an edge is outside too, unless it is
    denser than open air: then the field of view cuts a lung. The ends along z do not count: lungs may be cut there.

    Args:
        hu: The coarse CT.
        level: From `open_air_level`.
    """
    air: Bools = hu < AIR_BELOW_HU
    labels = cc3d.connected_components(air, connectivity=6)
    outside = np.zeros(int(labels.max()) + 1, dtype=bool)
    outside[np.unique(labels[:, [0, 0, -1, -1], [0, -1, 0, -1]])] = True
    touching = np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    for label in touching[~outside[touching]]:
        outside[label] = float((hu[labels == label] > level).mean()) < 0.5
    outside[0] = False
    around: Bools = outside[labels]
    return air & ~around, around


def cut_lung(hu: Hu, around: Bools, level: float, spacing_mm: Spacing) -> Bools:
    """Lung that a round field of view cuts, so that it merges with the air around the patient.

    Large solid pieces of lung density with a chest wall's thickness of tissue before and behind them; the foam of a
    table has that on one side only.

    Args:
        hu: The coarse CT.
        around: Air around the body, from `split_air`.
        level: From `open_air_level`.
        spacing_mm: z, y, x.
    """
    dense = around & (hu > level)
    labels = cc3d.connected_components(distance_mm(dense, spacing_mm) > GAS_RADIUS_MM, connectivity=6)
    volumes = np.bincount(labels.ravel()) * float(np.prod(spacing_mm))
    volumes[0] = 0.0
    before = np.cumsum(hu > -150, axis=1, dtype=np.int16)
    flanked = np.minimum(before, before[:, -1:] - before) * spacing_mm[1] >= CHEST_WALL_MM
    kept = np.array([v > CUT_PIECE_MM3 and flanked[labels == k].mean() > 0.5 for k, v in enumerate(volumes)])
    core = kept[labels]
    if not core.any():
        return core
    grown: Bools = distance_mm(~core, spacing_mm) <= GAS_RADIUS_MM + max(spacing_mm)
    return grown & dense


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
    nothing = np.zeros_like(air)
    inner = depth_mm > GAS_RADIUS_MM
    if not inner.any():
        return nothing
    dark = air & (hu < 0.5 * (float(np.median(hu[inner])) - 1000.0))
    labels = cc3d.connected_components(distance_mm(dark, spacing_mm) > GAS_RADIUS_MM, connectivity=6)
    middle = _middle_slice(inner)
    low = np.array([z < middle for z, _, _ in cc3d.statistics(labels)["centroids"]])
    low[0] = False
    core: Bools = low[labels]
    if not core.any():
        return nothing
    bodies = air & (distance_mm(~core, spacing_mm) <= GAS_RADIUS_MM + max(spacing_mm))
    parts = cc3d.connected_components(bodies, connectivity=6)
    large = np.bincount(parts.ravel()) * float(np.prod(spacing_mm)) > GAS_VOLUME_MM3
    large[0] = False
    found: Bools = large[parts]
    return found


def _middle_slice(mask: Bools) -> int:
    """The slice below which half of the mask lies."""
    below = np.cumsum(np.count_nonzero(mask, axis=(1, 2)))
    return int(np.searchsorted(below, 0.5 * below[-1]))
