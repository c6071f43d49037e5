"""Air in and around a body on a coarse CT: what lies outside, the trachea, gas in stomach and bowel.

All arrays are (z, y, x), growing towards superior, posterior, left.
"""

from __future__ import annotations

import cc3d
import numpy as np

from pe_nnunet.roi.coarse import Bools, Floats, distance_mm

AIR_BELOW_HU = -400
OPEN_AIR_HU = -950  # air around the patient is darker; lung cut by the field of view is brighter
TRACHEA_AREA_MM2 = (30.0, 800.0)
TRACHEA_LENGTH_MM = 25.0
GAS_RADIUS_MM = 6.0
GAS_VOLUME_MM3 = 10_000.0


def open_air_level(hu: Floats) -> float:
    """The HU under which air is open, not lung: 60 HU above the darkest air at the image's edge, at most -950.

    Not every scanner puts air at -1000, and not every lung is denser than -950.
    """
    edges = np.concatenate([array.ravel() for array in (hu[:, [0, -1]], hu[:, :, [0, -1]])])
    air = edges[edges < AIR_BELOW_HU]
    return min(OPEN_AIR_HU, float(np.percentile(air, 10)) + 60.0) if air.size else OPEN_AIR_HU


def enclosed_air(hu: Floats, spacing_mm: tuple[float, float, float]) -> Bools:
    """Air inside the body: lungs, airways, gas.

    Air that reaches a corner of the axial image is outside. Air that touches only an edge is outside too, unless it is
    denser than open air: then the field of view cuts a lung. The ends along z do not count: lungs and trachea may be cut.
    """
    air = hu < AIR_BELOW_HU
    level = open_air_level(hu)
    labels = cc3d.connected_components(air, connectivity=6)
    outside = np.zeros(int(labels.max()) + 1, dtype=bool)
    outside[np.unique(labels[:, [0, 0, -1, -1], [0, -1, 0, -1]])] = True
    touching = np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    for label in touching[~outside[touching]]:
        outside[label] = float((hu[labels == label] > level).mean()) < 0.5
    outside[0] = False
    merged = air & outside[labels]
    return (air & ~merged) | _cut_lung(hu, merged, level, spacing_mm)


def _cut_lung(hu: Floats, open_air: Bools, level: float, spacing_mm: tuple[float, float, float]) -> Bools:
    """Lung that the round field of view cuts, so that it merges with the air around the patient.

    Large solid pieces of lung density with a thickness of soft tissue before and behind them; a mattress has none behind.
    """
    dense = open_air & (hu > level)
    core = distance_mm(dense, spacing_mm) > 6.0
    labels = cc3d.connected_components(core, connectivity=6)
    counts = np.bincount(labels.ravel())
    thick = hu > -150
    depth = max(1, round(20.0 / spacing_mm[1]))
    found = np.zeros_like(core)
    for label in np.flatnonzero(counts * float(np.prod(spacing_mm)) > 50_000):
        if label == 0:
            continue
        piece = labels == label
        before = np.cumsum(thick, axis=1)
        behind = before[:, -1:, :] - before
        flanked = (before[piece] >= depth) & (behind[piece] >= depth)
        if flanked.mean() > 0.5:
            found |= piece
    if not found.any():
        return found
    grown: Bools = distance_mm(~found, spacing_mm) <= 8.0
    return grown & dense


def trachea(air: Bools, spacing_mm: tuple[float, float, float]) -> Bools:
    """The windpipe, and the main bronchi where they run free of lung: long tubes of small cross-section.

    Lung tips have small cross-sections too, but only over a few millimetres of height.
    """
    z_mm, y_mm, x_mm = spacing_mm
    labels = np.zeros(air.shape, dtype=np.int32)
    for z in range(air.shape[0]):
        flat = cc3d.connected_components(air[z], connectivity=8)
        area_mm2 = np.bincount(flat.ravel()) * y_mm * x_mm
        small = (area_mm2 >= TRACHEA_AREA_MM2[0]) & (area_mm2 <= TRACHEA_AREA_MM2[1])
        small[0] = False
        labels[z] = small[flat]
    tubes = cc3d.connected_components(labels > 0, connectivity=6)
    if not tubes.max():
        return np.zeros(air.shape, dtype=bool)
    boxes = cc3d.statistics(tubes)["bounding_boxes"]
    middle = float(np.median(np.nonzero(air)[0]))
    kept = [
        k > 0 and (box[0].stop - box[0].start) * z_mm >= TRACHEA_LENGTH_MM and box[0].stop > middle
        for k, box in enumerate(boxes)
    ]
    found: Bools = np.array(kept)[tubes]
    return found


def gas(hu: Floats, air: Bools, spacing_mm: tuple[float, float, float]) -> Bools:
    """Round bodies of pure gas in the lower half, as in stomach and bowel, also where they lie against the lung.

    Gas is told from lung halfway between this patient's lung and air; thin air, as in bronchi, is left.
    """
    inner = air & (distance_mm(air, spacing_mm) > GAS_RADIUS_MM)
    if not inner.any():
        return np.zeros(air.shape, dtype=bool)
    threshold = 0.5 * (float(np.median(hu[inner])) - 1000.0)
    dark = air & (hu < threshold)
    core = distance_mm(dark, spacing_mm) > GAS_RADIUS_MM
    labels = cc3d.connected_components(core, connectivity=6)
    stats = cc3d.statistics(labels)
    middle = float(np.median(np.nonzero(inner)[0]))
    kept = np.array([k > 0 and c[0] < middle for k, c in enumerate(stats["centroids"])])
    found = kept[labels]
    if not found.any():
        return np.zeros(air.shape, dtype=bool)
    bodies = air & (distance_mm(~found, spacing_mm) <= GAS_RADIUS_MM + max(spacing_mm))
    parts = cc3d.connected_components(bodies, connectivity=6)
    large = np.bincount(parts.ravel()) * float(np.prod(spacing_mm)) > GAS_VOLUME_MM3
    large[0] = False
    gases: Bools = large[parts]
    return gases
