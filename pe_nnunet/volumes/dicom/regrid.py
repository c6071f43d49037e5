"""Slices that do not lie on one upright, regular grid, brought onto one: a gantry tilt undone, a gap filled.

Both interpolate, and both are done only where they were asked for. Elsewhere such a series is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import shift

from pe_nnunet.volumes.hounsfield import AIR_HU, Values

NEAR = 0.1  # share of the increment that a slice may lie beside its place on the grid, as in a regular series


@dataclass(frozen=True)
class Regrid:
    """Where the slices of a series lie on the grid that they go to.

    Attributes:
        place: Of each slice along the normal, in slices of the grid; from 0, rising.
        rows: How far each lies towards higher rows of the canvas, in pixels, at least 0.
        columns: Likewise towards higher columns.
    """

    place: npt.NDArray[np.float64]
    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]

    def apply(self, hu: Values) -> Values:
        """Interpolate linearly; the value is air where no slice reaches.

        Args:
            hu: (slices, rows, columns).

        Returns:
            (z, y, x) of the same type, with as many slices as the grid has, and the canvas' rows and columns.
        """
        upright = self._upright(hu)
        depth = int(np.floor(self.place[-1] + NEAR)) + 1
        if depth == len(hu) and np.abs(self.place - np.arange(depth)).max() <= NEAR:
            return upright
        grid = np.empty((depth, *upright.shape[1:]), hu.dtype)
        for z in range(depth):
            k = int(np.argmin(np.abs(self.place - z)))
            if abs(self.place[k] - z) <= NEAR:
                grid[z] = upright[k]
                continue
            after = int(np.searchsorted(self.place, z))
            share = (z - self.place[after - 1]) / (self.place[after] - self.place[after - 1])
            mixed = (1 - share) * upright[after - 1].astype(np.float32) + share * upright[after].astype(np.float32)
            grid[z] = np.rint(mixed) if hu.dtype.kind == "i" else mixed
        return grid

    def _upright(self, hu: Values) -> Values:
        if not (self.rows.any() or self.columns.any()):
            return hu
        more = [int(np.ceil(offsets.max() - 1e-6)) for offsets in (self.rows, self.columns)]
        canvas = np.empty((len(hu), hu.shape[1] + more[0], hu.shape[2] + more[1]), hu.dtype)
        for k, plane in enumerate(hu):
            padded = np.pad(plane.astype(np.float32), [(0, more[0]), (0, more[1])], constant_values=AIR_HU)
            moved = shift(padded, (self.rows[k], self.columns[k]), order=1, cval=AIR_HU)
            canvas[k] = np.rint(moved) if hu.dtype.kind == "i" else moved
        return canvas
