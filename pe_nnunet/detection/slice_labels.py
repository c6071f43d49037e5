"""What the detector learns from a scan: which of its slices, and the boxes of lungs and emboli on them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pe_nnunet.detection.raster import Boxes
from pe_nnunet.detection.settings import DetectorSettings

CLASSES = ("lung", "embolus")  # a class is its index
LUNG, EMBOLUS = 0, 1
MIN_SIDE_PIXELS = 8  # the finest grid of the detectors: a smaller box may hold none of its points

_EIGHT_CONNECTED = np.ones((3, 3), bool)


def lung_boxes(mask: npt.NDArray[np.generic]) -> Boxes:
    """One box around all lung on a slice, none where there is no lung.

    Args:
        mask: (y, x), lung where it is not zero.

    Returns:
        (0 or 1, 4) in voxels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return np.empty((0, 4))
    return np.array([[rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]], float)


def embolus_boxes(instances: npt.NDArray[np.integer]) -> Boxes:
    """A box around each connected part of each embolus on a slice.

    Args:
        instances: (y, x), ids of emboli.

    Returns:
        (n, 4) in voxels.
    """
    boxes = []
    for number, where in enumerate(ndimage.find_objects(instances), 1):
        if where is None:
            continue
        parts, _ = ndimage.label(instances[where] == number, _EIGHT_CONNECTED)
        top, left = where[0].start, where[1].start
        boxes += [[top + y.start, left + x.start, top + y.stop, left + x.stop] for y, x in ndimage.find_objects(parts)]
    return np.array(boxes, float).reshape(-1, 4)


def widened(boxes: Boxes, min_side: float = MIN_SIDE_PIXELS) -> Boxes:
    """Boxes about the same centres, no side shorter than `min_side`.

    Example:
        >>> widened(np.array([[10.0, 10.0, 12.0, 30.0]]), 8).tolist()
        [[7.0, 10.0, 15.0, 30.0]]
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = np.maximum(boxes[:, 2:] - boxes[:, :2], min_side) / 2
    return np.hstack([centres - halves, centres + halves])


def yolo_lines(boxes: Boxes, label: int, picture_shape: tuple[int, int]) -> list[str]:
    """YOLO's label lines: class, then centre x, centre y, width and height as shares of the picture, cut at its edge.

    Args:
        boxes: In pixels.
        label: Index in `CLASSES`.
        picture_shape: Pixels (y, x).

    Example:
        >>> yolo_lines(np.array([[0.0, 0.0, 10.0, 20.0]]), 1, (100, 100))
        ['1 0.100000 0.050000 0.200000 0.100000']
    """
    height, width = picture_shape
    lines = []
    for y0, x0, y1, x1 in np.clip(boxes / [height, width, height, width], 0, 1):
        if y1 > y0 and x1 > x0:
            values = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
            lines.append(f"{label} " + " ".join(f"{value:.6f}" for value in values))
    return lines


def choose_slices(
    instances: npt.NDArray[np.integer],
    settings: DetectorSettings,
    rng: np.random.Generator,
    doubtful: npt.NDArray[np.bool_] | None = None,
) -> tuple[list[int], list[int]]:
    """Choose slices with and without emboli.

    Args:
        instances: (z, y, x), ids of emboli.
        settings: How many.
        rng: Moves the slices without emboli about within their even spacing.
        doubtful: Slices that hold ignored voxels, (z,): nobody knows that they are without emboli. None without any.

    Returns:
        Sorted indices of slices with emboli, and of slices without.
    """
    ids_of = [set(np.unique(plane[plane > 0]).tolist()) for plane in instances]
    positive: set[int] = set()
    for embolus in set().union(*ids_of):
        its = [z for z, ids in enumerate(ids_of) if embolus in ids]
        places = np.linspace(0, len(its) - 1, min(settings.slices_per_embolus, len(its)))
        positive |= {its[round(place)] for place in places}
    free = [z for z, ids in enumerate(ids_of) if not ids and (doubtful is None or not doubtful[z])]
    wanted = min(len(free), max(settings.min_negatives, round(settings.negative_share * len(positive))))
    edges = np.linspace(0, len(free), wanted + 1).round().astype(int)
    negative = [free[int(rng.integers(a, b))] for a, b in pairwise(edges)]
    return sorted(positive), negative
