"""How wide the artery is that an embolus lies in: geometry around the finding, no anatomy.

The lumen is taken to be the embolus and the bright blood around it. Each point of the embolus lies in balls that fit
into that lumen; the widest of them says how wide the artery is there ("local thickness", Hildebrand & Rüegsegger,
Journal of Microscopy 185 (1997), here over the ridge of the distance map instead of all of it).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from pe_nnunet.fusion import Emboli
from pe_nnunet.processes import usable_processors
from pe_nnunet.volumes.geometry import image_like
from pe_nnunet.voxels import Box, boxes_by_id

LEVELS = (("main", 16.0), ("lobar", 7.0), ("segmental", 4.5), ("subsegmental", 0.0))
"""Name and smallest diameter in mm. Main: wider than the interlobar artery normally is (16 mm at most in men; Chang,
Radiology 83 (1962)). The others part mean diameters of 8.1, 5.8 and 3.7 mm at their geometric means, rounded: those of
the 8, 20 and 66 branches that follow the main arteries in a cast of the tree (Singhal et al., Circulation Research 33
(1973))."""

MAX_EMBOLI = 50  # emboli, the first by id: thousands, as noise gives, would take minutes and say nothing
MARGIN_MM = 18.0  # around the embolus: the widest normal pulmonary artery fits in
STEP_MM = 0.6  # of the grid that is measured on; half the finest spacing where that is more, as nothing finer is known
MAX_VOXELS = 2_000_000  # of that grid; beyond, the step grows
MAX_POINTS = 1500  # of the embolus, roughly
CONTRAST_HU = 150.0  # what is brighter counts as opacified blood when its level is estimated
USUAL_BLOOD_HU = 300.0  # where nothing nearby is
BACKGROUND_HU = (-900.0, 60.0)  # lung to muscle: the darkest and brightest that a vessel can border on
BACKGROUND_REACH_MM = 3.0
SMOOTHING_MM = 0.7
BLOOD_REACH_MM = 6.0


def level_of(diameter_mm: float) -> str:
    """The level that a diameter suggests; the bounds are in `LEVELS`.

    Example:
        >>> [level_of(d) for d in (22, 16, 9, 5, 3)]
        ['main', 'main', 'lobar', 'segmental', 'subsegmental']
    """
    return next(name for name, min_mm in LEVELS if diameter_mm >= min_mm)


def artery_diameters_mm(image: sitk.Image, emboli: Emboli) -> dict[int, float]:
    """Diameter of the artery that each kept embolus lies in: half of the embolus lies where it is at least this wide.

    Args:
        image: The scan in HU.
        emboli: Found on its grid.

    Returns:
        By id; of very many emboli the first 50, those of the highest score.
    """
    boxes = boxes_by_id(emboli.labels)
    ids = [row.id for row in emboli.kept[:MAX_EMBOLI]]
    with ThreadPoolExecutor(usable_processors()) as pool:  # scipy's filters leave Python's lock to others
        diameters = pool.map(lambda identity: artery_diameter_mm(image, emboli.labels, identity, boxes[identity]), ids)
        return dict(zip(ids, diameters, strict=True))


def artery_diameter_mm(image: sitk.Image, labels: NDArray[Any], identity: int, box: Box) -> float:
    """Width of the lumen around one embolus.

    Args:
        image: The scan in HU.
        labels: Ids on its grid, (z, y, x).
        identity: Which embolus.
        box: Its bounding box, (z, y, x).
    """
    part, size, step_mm = _fine_grid(image, box)
    around = image[part]
    embolus = image_like((labels[part[::-1]] == identity).astype(np.float32), around)
    hu, share = (_resampled(one, size, step_mm) for one in (around, embolus))
    clot = share > min(0.5, 0.5 * float(share.max()))  # voxels that touch by their corners alone stay under a half
    lumen = clot | (hu > _lumen_threshold(hu, clot, step_mm))
    lumen = ndi.binary_closing(lumen) | clot
    return float(np.median(_local_thickness_mm(lumen, clot, step_mm)))


def _fine_grid(image: sitk.Image, box: Box) -> tuple[tuple[slice, ...], list[int], float]:
    """The part of the image around a box, (x, y, z), and size and step of a grid of cubes that covers it."""
    spacing = np.array(image.GetSpacing())
    margin = np.ceil(MARGIN_MM / spacing).astype(int)
    low = np.maximum(np.array(box.start[::-1]) - margin, 0)
    high = np.minimum(np.array(box.stop[::-1]) + margin, image.GetSize())
    extent_mm = (high - low) * spacing
    wanted = max(min(STEP_MM, float(spacing.min())), float(spacing.min()) / 2)
    step_mm = max(wanted, float((extent_mm.prod() / MAX_VOXELS) ** (1 / 3)))
    size = np.maximum(1, np.round(extent_mm / step_mm)).astype(int).tolist()
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), size, step_mm


def _resampled(part: sitk.Image, size: list[int], step_mm: float) -> NDArray[np.float32]:
    """Linear interpolation onto cubes from the part's first corner on, along its own axes."""
    corner = part.TransformContinuousIndexToPhysicalPoint([0.5 * step_mm / s - 0.5 for s in part.GetSpacing()])
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(size)
    resampler.SetOutputSpacing([step_mm] * 3)
    resampler.SetOutputOrigin(corner)
    resampler.SetOutputDirection(part.GetDirection())
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetUseNearestNeighborExtrapolator(True)  # the outer half of the border voxels
    resampler.SetOutputPixelType(sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(part)))


def _lumen_threshold(hu: NDArray[np.float32], clot: NDArray[np.bool_], step_mm: float) -> NDArray[np.float32]:
    """Half way between the blood near the embolus and the darkest tissue near each voxel, where edges truly lie."""
    smooth = ndi.gaussian_filter(hu, SMOOTHING_MM / step_mm)
    near = ndi.binary_dilation(clot, iterations=max(1, round(BLOOD_REACH_MM / step_mm)))
    blood = smooth[near & ~clot & (smooth > CONTRAST_HU)]
    level = float(np.median(blood)) if blood.size else USUAL_BLOOD_HU
    side = 2 * round(BACKGROUND_REACH_MM / step_mm) + 1
    background = np.clip(ndi.minimum_filter(smooth, side), *BACKGROUND_HU)
    return np.asarray((level + background) / 2, np.float32)


def _local_thickness_mm(lumen: NDArray[np.bool_], clot: NDArray[np.bool_], step_mm: float) -> NDArray[np.float64]:
    """Diameter of the widest ball inside the lumen around points of the clot.

    Distances run to the middle of the nearest voxel outside; of the many along a round wall, one has its middle just
    beyond the wall, so nothing is taken off for half a voxel.
    """
    radius = ndi.distance_transform_edt(lumen) * step_mm
    ridge = lumen & (radius >= ndi.maximum_filter(radius, 3) - 1e-6)
    centres, radii = np.argwhere(ridge) * step_mm, radius[ridge]
    points = np.argwhere(clot) * step_mm
    points = points[:: max(1, len(points) // MAX_POINTS)]
    thickness = np.full(len(points), step_mm)
    tree = cKDTree(points)
    for held, width in zip(tree.query_ball_point(centres, radii), radii, strict=True):
        thickness[held] = np.maximum(thickness[held], 2 * width)
    return thickness
