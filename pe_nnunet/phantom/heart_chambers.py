"""A heart of four ellipsoids, whose ventricles have widths and volumes that are known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.phantom.grid import Grid

Vector = NDArray[np.floating[Any]]  # z, y, x


class HasAxes(Protocol):
    """A plane with the direction in which a width is taken."""

    @property
    def along(self) -> Vector:
        """The other direction in the plane, a unit vector."""

    @property
    def across(self) -> Vector:
        """The direction, a unit vector."""

    @property
    def origin_mm(self) -> Vector:
        """A point of the plane, from the first voxel."""


@dataclass(frozen=True)
class HeartChambers:
    """Masks and the ellipsoids that they are drawn from.

    Attributes:
        masks: uint8, by the names of TotalSegmentator's files.
        centres_mm: Of the right and of the left ventricle, from the first voxel.
        shapes: Matrices A of both, (p - centre) A (p - centre) = 1 on the surface, in mm.
    """

    masks: dict[str, sitk.Image]
    centres_mm: tuple[Vector, Vector]
    shapes: tuple[Vector, Vector]

    @property
    def volume_ratio(self) -> float:
        """Of the right over the left ventricle."""
        right, left = (float(np.linalg.det(shape)) for shape in self.shapes)
        return math.sqrt(left / right)


def heart_chambers(spacing_mm: tuple[float, float, float], rng: np.random.Generator) -> HeartChambers:
    """Draw a heart as it lies in the chest: apex to the left, forwards and down; its ventricles side by side.

    Args:
        spacing_mm: (z, y, x).
        rng: Of the sizes and the tilt.
    """
    long_axis = np.array([-0.35, -0.55, 0.75]) + rng.normal(0, 0.08, 3)
    long_axis /= np.linalg.norm(long_axis)
    beside = np.array([0.0, -0.7, -0.7]) + rng.normal(0, 0.08, 3)
    beside -= (beside @ long_axis) * long_axis
    beside /= np.linalg.norm(beside)
    turned = np.stack([long_axis, beside, np.cross(long_axis, beside)], axis=1)

    def shape(semi_axes: Sequence[float]) -> Vector:
        return np.asarray(turned @ np.diag(1 / np.square(semi_axes)) @ turned.T)

    right, left = (rng.uniform(35, 42), rng.uniform(15, 28), 26.0), (rng.uniform(38, 46), rng.uniform(17, 26), 24.0)
    size = np.array([170.0, 190.0, 200.0])
    at_left = size / 2 + np.array([0.0, 0.0, 10.0])
    at_right = at_left + (right[1] + left[1] + 9) * beside
    drawn = {
        "heart_ventricle_right": (at_right, shape(right)),
        "heart_ventricle_left": (at_left, shape(left)),
        "heart_atrium_right": (at_right - (right[0] + 17) * long_axis, shape((18, right[1], 24))),
        "heart_atrium_left": (at_left - (left[0] + 17) * long_axis, shape((18, left[1], 24))),
    }
    shape_zyx = tuple(round(n / s) for n, s in zip(size, spacing_mm, strict=True))
    grid = Grid(spacing_mm, (0.0, 0.0, 0.0), shape_zyx)
    masks = {}
    for name, (centre, matrix) in drawn.items():
        a = matrix.astype(np.float32)
        z, y, x = (axis - np.float32(c) for axis, c in zip(grid.axes(), centre, strict=True))
        norm = a[0, 0] * z * z + a[1, 1] * y * y + 2 * a[0, 1] * z * y
        norm = norm + a[2, 2] * x * x + 2 * (a[0, 2] * z + a[1, 2] * y) * x
        masks[name] = grid.image((norm <= 1).astype(np.uint8))
    (first, second), (one, other) = zip(*list(drawn.values())[:2], strict=True)
    return HeartChambers(masks, (first, second), (one, other))


def exact_widths_mm(heart: HeartChambers, planes: Sequence[HasAxes]) -> tuple[float, float]:
    """The longest lines across the right and the left ventricle along a direction.

    Args:
        heart: The ellipsoids.
        planes: One each. In an axial slice the widest of all slices is meant, else the plane itself.
    """
    widths = []
    for centre, matrix, plane in zip(heart.centres_mm, heart.shapes, planes, strict=True):
        a = plane.across
        if abs(a[0]) < 1e-9 and abs(plane.along[0]) < 1e-9:  # the widest slice holds the centre
            widths.append(2 / float(a @ matrix @ a) ** 0.5)
            continue
        basis = np.stack([plane.along, a], axis=1)  # the section is an ellipse: u M u + 2 b u + c = 0
        offset = plane.origin_mm - centre
        section, slope = basis.T @ matrix @ basis, basis.T @ matrix @ offset
        rest = 1 - float(offset @ matrix @ offset) + float(slope @ np.linalg.solve(section, slope))
        widths.append(2 * (rest / float(section[1, 1])) ** 0.5)
    return widths[0], widths[1]
