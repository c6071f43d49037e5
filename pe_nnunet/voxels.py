"""Where the few voxels lie that are not background, in a volume that is nearly all background."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def foreground(ids: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Indices and ids of all voxels that are not 0, in array order.

    Rows without any are passed over at the speed of memory: of a whole scan this takes a tenth of `np.nonzero`.

    Args:
        ids: 0 background, (z, y, x).

    Returns:
        (voxels, 3) and (voxels,).

    Example:
        >>> where, values = foreground(np.array([[[0, 5, 0, 7]]]))
        >>> where.tolist(), values.tolist()
        ([[0, 0, 1], [0, 0, 3]], [5, 7])
    """
    rows = ids.any(axis=2)
    z, y = np.nonzero(rows)
    filled = ids[rows]
    row, x = np.nonzero(filled)
    return np.stack([z[row], y[row], x], axis=1), filled[row, x]


def boxes_by_id(ids: NDArray[Any]) -> dict[int, Box]:
    """The smallest box that holds each id, ids ascending.

    Args:
        ids: 0 background, (z, y, x); a mask is the one id 1.

    Example:
        >>> boxes_by_id(np.array([[[0, 5, 0, 5]]]))
        {5: (slice(0, 1, None), slice(0, 1, None), slice(1, 4, None))}
    """
    where, values = foreground(ids)
    if not len(values):
        return {}
    order = np.argsort(values, kind="stable")
    where, values = where[order], values[order]
    first = np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
    low, high = np.minimum.reduceat(where, first), np.maximum.reduceat(where, first) + 1
    return {int(value): _box(a, b) for value, a, b in zip(values[first], low.tolist(), high.tolist(), strict=True)}


def islands(boxes: Iterable[Box]) -> list[Box]:
    """Join boxes that overlap or touch, until at least one plane of voxels lies between any two.

    Example:
        >>> z = slice(0, 1)
        >>> [(box[2].start, box[2].stop) for box in islands([(z, z, slice(0, 1)), (z, z, slice(4, 6)), (z, z, slice(1, 2))])]
        [(4, 6), (0, 2)]
    """  # noqa: E501 - an example is one line
    apart: list[Box] = []
    for box in boxes:
        joined = box
        while near := [other for other in apart if _touch(joined, other)]:
            apart = [other for other in apart if other not in near]
            sides = zip(joined, *near, strict=True)
            z, y, x = (slice(min(s.start for s in side), max(s.stop for s in side)) for side in sides)
            joined = z, y, x
        apart.append(joined)
    return apart


def grown(box: Box, by: Sequence[int], shape: Sequence[int]) -> Box:
    """A box with so many voxels more on each side, within an array."""
    z, y, x = (
        slice(max(side.start - n, 0), min(side.stop + n, size)) for side, n, size in zip(box, by, shape, strict=True)
    )
    return z, y, x


def _touch(one: Box, other: Box) -> bool:
    return all(a.start <= b.stop and b.start <= a.stop for a, b in zip(one, other, strict=True))


def _box(low: list[int], high: list[int]) -> Box:
    z, y, x = map(slice, low, high)
    return z, y, x


def label_components(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], int]:
    """Number the 26-connected components of a mask: voxels that share a face, an edge or a corner belong together.

    Args:
        mask: Boolean, (z, y, x).

    Returns:
        The component number of each voxel (0 outside, then 1, 2, ... in the smallest unsigned type that holds them),
        and how many there are.

    Example:
        >>> label_components(np.eye(2, dtype=bool)[None])[1]
        1
    """
    if mask.size == 0:
        return np.zeros(mask.shape, np.uint16), 0
    # Bytes in one piece, as cc3d 4.1 goes wrong on volumes that are one voxel wide along two axes: booleans make it run
    # out of provisional labels, and of a part of a larger array it reads the wrong voxels.
    whole = np.ascontiguousarray(mask).view(np.uint8)
    labels, count = cc3d.connected_components(whole, connectivity=26, return_N=True)
    return labels, int(count)
