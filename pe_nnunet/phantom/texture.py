"""Smooth random fields in millimetres, the same whatever the grid they are sampled on."""

from __future__ import annotations

import numpy as np

from pe_nnunet.phantom.grid import Coordinates, Floats


class Texture:
    """White noise on a lattice, interpolated linearly; mean 0 and standard deviation about 1.

    Args:
        rng: Source of randomness.
        extent_mm: Corners (z, y, x) of the region it is for.
        scale_mm: Distance of the lattice's points.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        extent_mm: tuple[tuple[float, float, float], tuple[float, float, float]],
        scale_mm: float,
    ) -> None:
        self._low, self._scale = np.asarray(extent_mm[0]) - scale_mm, scale_mm
        shape = np.ceil((np.asarray(extent_mm[1]) - self._low) / scale_mm).astype(int) + 2
        self._values = rng.normal(size=shape).astype(np.float32) * np.float32(1.8)  # interpolation takes variance away

    def at(self, at: Coordinates) -> Floats:
        """Values at broadcasting axes (n, 1, 1), (1, n, 1), (1, 1, n) in mm."""
        values = self._values
        for axis, coordinates in enumerate(at):
            place = (coordinates.ravel() - np.float32(self._low[axis])) / np.float32(self._scale)
            lower = np.clip(np.floor(place).astype(int), 0, values.shape[axis] - 2)
            part = (place - lower).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
            values = values.take(lower, axis) * (1 - part) + values.take(lower + 1, axis) * part
        return np.asarray(values)
