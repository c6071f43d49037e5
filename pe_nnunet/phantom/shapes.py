"""Signed distances in mm to simple bodies, negative inside: the phantom's vocabulary.

All functions take coordinates (z, y, x) in mm that broadcast against each other, so the same function serves a grid and
a list of points. At a surface, where edges and masks are decided, the values are exact; away from it approximate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
