"""What a probability map holds inside each component of a mask, and which of them are large enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import GeometryError


def require_region(roi_mask: NDArray[np.bool_] | None, shape: Sequence[int]) -> None:
    """Check that a region of interest, where there is one, has the shape of the probability map (z, y, x).

    Raises:
        GeometryError: PE-FUS-003 if it has another.
    """
    if roi_mask is not None and roi_mask.shape != tuple(shape):
        raise GeometryError("PE-FUS-003", f"region of interest of shape {roi_mask.shape}: expected the map's {shape}")


def at_least_volume(volume_mm3: NDArray[Any], min_volume_mm3: float) -> NDArray[np.bool_]:
    """Which volumes are large enough: rounding does not count, as ten voxels of 0.1 mm3 are 1 mm3.

    Args:
        volume_mm3: Of each component.
        min_volume_mm3: Of the smallest that counts.

    Example:
        >>> at_least_volume(np.array([3 * 0.1, 0.2]), 0.3 + 1e-16).tolist()
        [True, False]
    """
    return volume_mm3 >= min_volume_mm3 * (1 - 1e-9)


@dataclass(frozen=True)
class ComponentStatistics:
    """One row a component, in the order of their numbers (row 0 is component 1).

    Attributes:
        voxels: How many voxels it has, (components,).
        highest: Its highest probability, (components,) float32.
        mean: Its mean probability, (components,) float64.
        peak_zyx: The index of its most certain voxel, (components, 3).
    """

    voxels: NDArray[np.int64]
    highest: NDArray[np.float32]
    mean: NDArray[np.float64]
    peak_zyx: NDArray[np.int64]


def measure_components(
    labels: NDArray[Any], count: int, probability: NDArray[np.float32], spacing_mm: tuple[float, float, float]
) -> ComponentStatistics:
    """Measure every component in two passes over the slices, so that no array of the volume's size is made.

    Where several voxels of a component share its highest probability (a saturated sigmoid, half precision), the one
    nearest to their centroid stands for it, the first in (z, y, x) order among equals: a marker in the middle of the
    plateau, not on its edge.

    Args:
        labels: Component numbers 0..count, (z, y, x).
        count: How many components there are.
        probability: (z, y, x), the shape of `labels`.
        spacing_mm: (z, y, x).
    """
    voxels = np.zeros(count + 1, np.int64)
    highest = np.full(count + 1, -np.inf, np.float32)
    total = np.zeros(count + 1, np.float64)
    for plane, values in zip(labels, probability, strict=True):
        inside = np.flatnonzero(plane)
        if inside.size:
            ids, held = plane.ravel()[inside], values.ravel()[inside]
            voxels += np.bincount(ids, minlength=count + 1)
            total += np.bincount(ids, weights=held, minlength=count + 1)
            np.maximum.at(highest, ids, held)
    peak = _central_peaks(labels, probability, highest, spacing_mm)
    return ComponentStatistics(voxels[1:], highest[1:], total[1:] / np.maximum(voxels[1:], 1), peak)


def _central_peaks(
    labels: NDArray[Any],
    probability: NDArray[np.float32],
    highest: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
) -> NDArray[np.int64]:
    tied_ids, tied_zyx = [np.zeros(0, np.int64)], [np.zeros((0, 3), np.int64)]
    for z, (plane, values) in enumerate(zip(labels, probability, strict=True)):
        y, x = np.nonzero(plane)
        ids = plane[y, x].astype(np.int64)
        tied = values[y, x] == highest[ids]
        tied_ids.append(ids[tied])
        tied_zyx.append(np.stack([np.full(int(tied.sum()), z), y[tied], x[tied]], axis=1))
    ids, zyx = np.concatenate(tied_ids), np.concatenate(tied_zyx)
    position = zyx * np.asarray(spacing_mm)
    ties = np.maximum(np.bincount(ids, minlength=len(highest)), 1)
    centroid = np.stack([np.bincount(ids, weights=c, minlength=len(highest)) / ties for c in position.T], axis=1)
    # Rounded, so that equal distances are equal in floating point too and the first voxel in order wins.
    distance = np.round(((position - centroid[ids]) ** 2).sum(axis=1), 6)
    order = np.lexsort((distance, ids))  # a stable sort: raster order within equal distances
    _, first = np.unique(ids[order], return_index=True)
    return np.asarray(zyx[order[first]], np.int64)
