"""Voxels that are not background in a volume that is nearly all background: boxes around them, and components."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import le
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

Index = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Box:
    """Voxels of an array (z, y, x) from `start` up to, not including, `stop`.

    Attributes:
        start: First voxel (z, y, x).
        stop: One past the last (z, y, x).

    Raises:
        ValueError: If the box is empty or starts below zero.

    Example:
        >>> Box((0, 2, 2), (4, 6, 8)).shape
        (4, 4, 6)
    """

    start: Index
    stop: Index

    def __post_init__(self) -> None:
        if len(self.start) != 3 or len(self.stop) != 3 or min(self.start) < 0:
            raise ValueError(f"a box needs three indices from zero on (z, y, x), got {self.start} to {self.stop}")
        if any(a >= b for a, b in zip(self.start, self.stop, strict=True)):
            raise ValueError(f"an empty box: {self.start} to {self.stop} (z, y, x)")

    @classmethod
    def around(cls, mask: NDArray[np.generic]) -> Box | None:
        """The smallest box that holds every voxel of a mask (z, y, x) that is not zero; None for an empty mask."""
        planes = np.asarray(mask.any(axis=0))
        hits = [np.flatnonzero(line) for line in (mask.any(axis=(1, 2)), planes.any(axis=1), planes.any(axis=0))]
        if not hits[0].size:
            return None
        return cls(_index(hit[0] for hit in hits), _index(hit[-1] + 1 for hit in hits))

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Box:
        """The whole of an array of this shape (z, y, x)."""
        return cls((0, 0, 0), _index(shape))

    @property
    def slices(self) -> Slices:
        """For indexing an array (z, y, x)."""
        z, y, x = map(slice, self.start, self.stop)
        return z, y, x

    @property
    def shape(self) -> Index:
        """Voxels along z, y, x."""
        return _index(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def voxels(self) -> int:
        """How many voxels the box holds."""
        return math.prod(self.shape)

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(_index(map(min, self.start, other.start)), _index(map(max, self.stop, other.stop)))

    def grown(self, margin_mm: float, spacing_mm: Sequence[float], limit: Sequence[int]) -> Box:
        """The box with a margin on every side, rounded up to whole voxels and cut at the image's edge.

        Args:
            margin_mm: At least zero.
            spacing_mm: z, y, x.
            limit: The image's shape (z, y, x).
        """
        return self.padded([math.ceil(margin_mm / s - 1e-6) for s in spacing_mm], limit)

    def padded(self, voxels: Sequence[int], limit: Sequence[int]) -> Box:
        """The box with so many voxels more (z, y, x) on either side, cut at the edge of an array of shape `limit`."""
        return Box(
            _index(max(0, a - n) for a, n in zip(self.start, voxels, strict=True)),
            _index(min(m, b + n) for b, n, m in zip(self.stop, voxels, limit, strict=True)),
        )

    def to_list(self) -> list[list[int]]:
        """`[[z, y, x], [z, y, x]]`: start and stop, for JSON."""
        return [list(self.start), list(self.stop)]

    @classmethod
    def from_list(cls, values: Sequence[Sequence[int]]) -> Box:
        """The inverse of `to_list`."""
        start, stop = values
        return cls(_index(start), _index(stop))


def _index(values: Iterable[Any]) -> Index:
    z, y, x = (int(v) for v in values)
    return z, y, x


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
        {5: Box(start=(0, 0, 1), stop=(1, 1, 4))}
    """
    where, values = foreground(ids)
    if not len(values):
        return {}
    order = np.argsort(values, kind="stable")
    where, values = where[order], values[order]
    first = np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
    low, high = np.minimum.reduceat(where, first), np.maximum.reduceat(where, first) + 1
    return {
        int(value): Box(_index(a), _index(b))
        for value, a, b in zip(values[first], low.tolist(), high.tolist(), strict=True)
    }


def islands(boxes: Iterable[Box]) -> list[Box]:
    """Join boxes that overlap or touch, until at least one plane of voxels lies between any two.

    Example:
        >>> islands(Box((0, 0, first), (1, 1, last)) for first, last in [(0, 1), (4, 6), (1, 2)])
        [Box(start=(0, 0, 4), stop=(1, 1, 6)), Box(start=(0, 0, 0), stop=(1, 1, 2))]
    """
    apart: list[Box] = []
    for box in boxes:
        joined = box
        while near := [other for other in apart if _touch(joined, other)]:
            apart = [other for other in apart if other not in near]
            for other in near:
                joined = joined.union(other)
        apart.append(joined)
    return apart


def _touch(one: Box, other: Box) -> bool:
    return all(map(le, one.start, other.stop)) and all(map(le, other.start, one.stop))


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
