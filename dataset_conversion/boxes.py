"""Boxes drawn slice by slice as instances: one id for the boxes of one embolus, filled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Box2D:
    """A box on a slice.

    Attributes:
        group: Boxes of different groups are never of one embolus: the name of an artery.
        x: Column of its left edge, in pixels.
        y: Row of its upper edge.
        width: Columns.
        height: Rows.
    """

    group: str
    x: float
    y: float
    width: float
    height: float

    def slices(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the pixels that it touches, within an image of this shape."""
        rows, columns = shape
        top, left = max(0, math.floor(self.y)), max(0, math.floor(self.x))
        bottom, right = math.ceil(self.y + self.height), math.ceil(self.x + self.width)
        return slice(min(top, rows), max(0, min(rows, bottom))), slice(min(left, columns), max(0, min(columns, right)))

    def overlap(self, other: Box2D) -> float:
        """Intersection over union."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        common = max(0.0, width) * max(0.0, height)
        return common / (self.width * self.height + other.width * other.height - common)


def filled_boxes(boxes: Mapping[int, Sequence[Box2D]], shape: tuple[int, int, int]) -> npt.NDArray[np.uint16]:
    """Ids of emboli: boxes that overlap from slice to slice are of one.

    Where boxes of one slice overlap, the smaller one lies on top.

    Args:
        boxes: By slice.
        shape: (z, y, x).

    Example:
        >>> filled_boxes({0: [Box2D("a", 1, 0, 2, 1)], 1: [Box2D("a", 2, 0, 1, 1)]}, (2, 1, 4)).tolist()
        [[[0, 1, 1, 0]], [[0, 0, 1, 0]]]
    """
    ids = np.zeros(shape, np.uint16)
    count = 0
    above: list[tuple[Box2D, int]] = []
    for z in sorted(boxes):
        if z - 1 not in boxes:
            above = []
        here: list[tuple[Box2D, int]] = []
        taken: set[int] = set()
        for box in sorted(boxes[z], key=lambda b: -b.width * b.height):
            embolus = _same(box, ((other, k) for other, k in above if k not in taken))
            if embolus is None:
                embolus = count = count + 1
            taken.add(embolus)
            here.append((box, embolus))
            ids[z][box.slices(shape[1:])] = embolus
        above = here
    return ids


def _same(box: Box2D, above: Iterable[tuple[Box2D, int]]) -> int | None:
    """The embolus that a box goes on with, by the greatest overlap."""
    found = [(box.overlap(other), k) for other, k in above if other.group == box.group and box.overlap(other) > 0]
    return max(found)[1] if found else None
