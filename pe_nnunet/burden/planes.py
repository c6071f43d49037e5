"""Planes through a scan, and the widest chord of a mask in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

Point = NDArray[np.float64]  # z, y, x in mm from the first voxel, along the axes of the image


@dataclass(frozen=True)
class Plane:
    """A plane with two axes in it.

    Attributes:
        origin_mm: Where both coordinates are 0.
        along: Unit vector of the first coordinate.
        across: Unit vector of the second one, at a right angle to it.
    """

    origin_mm: Point
    along: Point
    across: Point

    def place(self, first_mm: float, second_mm: float) -> Point:
        """The point with these coordinates."""
        return np.asarray(self.origin_mm + first_mm * self.along + second_mm * self.across)

    def coordinates(self, place_mm: Point) -> tuple[float, float]:
        """The coordinates of a point's foot in the plane."""
        offset = place_mm - self.origin_mm
        return float(offset @ self.along), float(offset @ self.across)

    def sample(
        self, volume: NDArray[Any], spacing_mm: Sequence[float], extent_mm: tuple[float, float, float, float],
        step_mm: float, outside: float = 0.0,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Interpolate a volume linearly on a grid in the plane.

        Args:
            volume: (z, y, x).
            spacing_mm: (z, y, x).
            extent_mm: Least and greatest first coordinate, then second.
            step_mm: Of the grid.
            outside: What the volume is taken to be beyond its edge.

        Returns:
            (first, second) coordinates from their least on.
        """
        low_1, high_1, low_2, high_2 = extent_mm
        first, second = np.arange(low_1, high_1 + step_mm / 2, step_mm), np.arange(low_2, high_2 + step_mm / 2, step_mm)
        places = [
            (o + first[:, None] * a + second[None, :] * c) / s
            for o, a, c, s in zip(self.origin_mm, self.along, self.across, spacing_mm, strict=True)
        ]
        return np.asarray(
            ndi.map_coordinates(volume, places, np.float32, order=1, mode="constant", cval=outside), np.float32
        )


@dataclass(frozen=True)
class Chord:
    """A straight line across a mask.

    Attributes:
        start_mm: One end, z, y, x.
        end_mm: The other.
    """

    start_mm: Point
    end_mm: Point

    @property
    def length_mm(self) -> float:
        """How long it is."""
        return float(np.linalg.norm(self.end_mm - self.start_mm))


def widest_chord(mask: NDArray[np.float32], spacing_mm: Sequence[float], plane: Plane, step_mm: float) -> Chord | None:
    """The longest unbroken line in a mask along a plane's second axis; None where the plane misses the mask.

    Args:
        mask: 0 to 1, (z, y, x); inside from a half on.
        spacing_mm: (z, y, x).
        plane: Its first axis is that along which lines are tried.
        step_mm: How finely.
    """
    edges_mm = (np.array(mask.shape) - 1) * spacing_mm
    offsets = np.array(list(np.ndindex(2, 2, 2))) * edges_mm - plane.origin_mm
    one, two = offsets @ plane.along, offsets @ plane.across
    extent = (float(one.min()), float(one.max()), float(two.min()), float(two.max()))
    inside = plane.sample(mask, spacing_mm, extent, step_mm) >= 0.5
    if not inside.any():
        return None
    run = np.zeros(inside.shape, np.int64)  # length of the unbroken line that ends here
    for column in range(inside.shape[1]):
        before = run[:, column - 1] if column else 0
        run[:, column] = np.where(inside[:, column], before + 1, 0)
    row, last = np.unravel_index(int(run.argmax()), run.shape)
    first_mm = extent[0] + row * step_mm
    ends = (extent[2] + (last - run[row, last] + 0.5) * step_mm, extent[2] + (last + 0.5) * step_mm)
    return Chord(plane.place(first_mm, ends[0]), plane.place(first_mm, ends[1]))
