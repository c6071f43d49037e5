"""The voxel grid of a phantom: where its voxels lie in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """An axis-aligned grid; z points to the head, y to the back, x to the patient's left (LPS).

    Attributes:
        spacing_mm: Voxel size (z, y, x).
        origin_mm: Centre of the first voxel (z, y, x).
        shape: Voxels (z, y, x).
    """

    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    shape: tuple[int, int, int]

    @classmethod
    def covering(
        cls,
        low_mm: tuple[float, float, float],
        high_mm: tuple[float, float, float],
        spacing_mm: tuple[float, float, float],
    ) -> Grid:
        """The grid whose voxels fill the box from `low_mm` to `high_mm`."""
        shape = tuple(max(4, round((h - lo) / s)) for lo, h, s in zip(low_mm, high_mm, spacing_mm, strict=True))
        origin = tuple(lo + s / 2 for lo, s in zip(low_mm, spacing_mm, strict=True))
        return cls(spacing_mm, origin, shape)  # type: ignore[arg-type]

    @property
    def edge_mm(self) -> float:
        """Width over which a structure's edge is smeared by the voxels: their geometric mean size."""
        return float(np.prod(self.spacing_mm) ** (1 / 3))

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing_mm))

    def axes(self, box: tuple[slice, slice, slice] | None = None) -> tuple[Floats, Floats, Floats]:
        """Coordinates of the voxel centres in mm as (n, 1, 1), (1, n, 1) and (1, 1, n), of the whole grid or a box."""
        parts = box or tuple(slice(0, n) for n in self.shape)
        z, y, x = (
            (o + s * np.arange(p.start, p.stop)).astype(np.float32)
            for o, s, p in zip(self.origin_mm, self.spacing_mm, parts, strict=True)
        )
        return z[:, None, None], y[None, :, None], x[None, None, :]

    def box_around(
        self, low_mm: NDArray[np.floating], high_mm: NDArray[np.floating]
    ) -> tuple[slice, slice, slice] | None:
        """The voxels between two corners (z, y, x) in mm, or None where there are none."""
        origin, spacing = np.asarray(self.origin_mm), np.asarray(self.spacing_mm)
        start = np.maximum(np.ceil((low_mm - origin) / spacing), 0).astype(int)
        stop = np.minimum(np.floor((high_mm - origin) / spacing) + 1, self.shape).astype(int)
        if np.any(stop <= start):
            return None
        return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])

    def finer(self, factors: tuple[int, int, int]) -> Grid:
        """The grid that divides each voxel into `factors` parts."""
        spacing = tuple(s / f for s, f in zip(self.spacing_mm, factors, strict=True))
        origin = tuple(o - s / 2 + p / 2 for o, s, p in zip(self.origin_mm, self.spacing_mm, spacing, strict=True))
        shape = tuple(n * f for n, f in zip(self.shape, factors, strict=True))
        return Grid(spacing, origin, shape)  # type: ignore[arg-type]

    def image(self, array: NDArray[np.generic]) -> sitk.Image:
        """The array (z, y, x) as an image with this grid's geometry."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing_mm[::-1])
        image.SetOrigin(self.origin_mm[::-1])
        return image


def block_mean(array: NDArray[np.generic], factors: tuple[int, int, int]) -> Floats:
    """Mean over blocks of `factors` voxels: the inverse of `Grid.finer`."""
    z, y, x = (n // f for n, f in zip(array.shape, factors, strict=True))
    blocks = array.reshape(z, factors[0], y, factors[1], x, factors[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


Point = tuple[float, float, float]
Floats = NDArray[np.floating[Any]]  # float32 on grids
Coordinates = tuple[Floats, Floats, Floats]


def ellipsoid(at: Coordinates, centre: Point, semi_axes: Point) -> Floats:
    """Ellipsoid with axes along z, y, x; an infinite semi-axis makes it a cylinder of elliptic section."""
    offsets = [a - np.float32(c) for a, c in zip(at, centre, strict=True)]
    unit = sum((o / np.float32(s)) ** 2 for o, s in zip(offsets, semi_axes, strict=True) if np.isfinite(s))
    slope = sum((o / np.float32(s) ** 2) ** 2 for o, s in zip(offsets, semi_axes, strict=True) if np.isfinite(s))
    norm = np.sqrt(unit)
    # First-order distance: the function's value over its gradient. At the centre, where both vanish, it is the depth.
    depth = np.float32(min(semi_axes))
    return np.asarray(np.maximum((norm - 1) * norm / np.maximum(np.sqrt(slope), np.float32(1e-6)), -depth))


def superellipse(at: tuple[Floats, Floats], semi_axes: tuple[float, float], exponent: float) -> Floats:
    """Norm of (y, x) in which the superellipse of these semi-axes is the unit curve; 1 on it."""
    y, x = at
    return np.asarray(
        (np.abs(y / np.float32(semi_axes[0])) ** exponent + np.abs(x / np.float32(semi_axes[1])) ** exponent)
        ** (1 / exponent)
    )


def rotated(at: Coordinates, centre: Point, yaw_deg: float, pitch_deg: float) -> Coordinates:
    """Coordinates turned about `centre`: first about z by `yaw_deg`, then about the turned y axis by `pitch_deg`."""
    z, y, x = (a - np.float32(c) for a, c in zip(at, centre, strict=True))
    yaw, pitch = np.deg2rad([yaw_deg, pitch_deg]).astype(np.float32)
    y, x = np.cos(yaw) * y - np.sin(yaw) * x, np.sin(yaw) * y + np.cos(yaw) * x
    z, x = np.cos(pitch) * z - np.sin(pitch) * x, np.sin(pitch) * z + np.cos(pitch) * x
    return z + np.float32(centre[0]), y + np.float32(centre[1]), x + np.float32(centre[2])


def occupancy(distance: Floats, edge_mm: float) -> Floats:
    """Share of a voxel of size `edge_mm` that lies inside, from its centre's signed distance.

    Example:
        >>> occupancy(np.array([-1.0, 0.0, 0.25, 1.0], np.float32), 1.0).tolist()
        [1.0, 0.5, 0.25, 0.0]
    """
    return np.asarray(np.clip(np.float32(0.5) - distance / np.float32(edge_mm), 0, 1))
