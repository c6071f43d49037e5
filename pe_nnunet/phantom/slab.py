"""The canvas: a few slices of Hounsfield units on which structures are painted, later ones over earlier ones.

Their textures are smooth random fields in millimetres, the same whatever the grid they are sampled on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.grid import Coordinates, Floats, Grid, Point, ellipsoid, occupancy, rotated
from pe_nnunet.phantom.scene import Scene
from pe_nnunet.voxels import Slices


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


AIR_HU = -1000.0


class Textures:
    """The random fields of one scan, the same in all its slabs.

    Attributes:
        parenchyma: Fine grain, as of lung and marrow.
        tissue: Lobules of fat and muscle.
        organ: Slow change within an organ.
        mixing: Swirls of contrast.
        levels: Uniform numbers for what is drawn once a scan.
    """

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        extent, s = scene.thorax.extent_mm(), scene.thorax.scale
        self.parenchyma = Texture(rng, extent, 5.0 * s)
        self.tissue = Texture(rng, extent, 9.0 * s)
        self.organ = Texture(rng, extent, 28.0 * s)
        self.mixing = Texture(rng, extent, 18.0 * s)
        self.levels = rng.uniform(size=8)


class Slab:
    """A few slices while they are painted.

    Attributes:
        scene: What is to be seen.
        textures: Its random fields.
        box: The slab's part of the rendering grid.
        at: Coordinates of its voxels in mm, as broadcasting axes.
        frame: The same in the reference frame of the anatomy.
        mm: One millimetre of the reference frame, in mm.
        hu: What has been painted so far.
    """

    def __init__(self, scene: Scene, textures: Textures, box: Slices) -> None:
        self.scene, self.textures, self.box = scene, textures, box
        self.grid: Grid = scene.grid
        self.at: Coordinates = scene.grid.axes(box)
        self.frame: Coordinates = scene.thorax.unscaled(self.at)
        self.mm = np.float32(scene.thorax.scale)
        self.edge_mm = scene.grid.edge_mm
        self.hu: Floats = np.full([s.stop - s.start for s in box], AIR_HU, np.float32)

    def fill(self, distance: Floats, value: float | Floats) -> None:
        """Paint what lies inside a surface, given by signed distances in mm."""
        self.blend(occupancy(distance, self.edge_mm), value)

    def blend(self, share: Floats, value: float | Floats) -> None:
        """Paint by the share of each voxel that is covered."""
        self.hu += (value - self.hu) * share

    def blob(self, centre: Point, axes: Point, value: float, turn_deg: float = 0) -> None:
        """Paint an ellipsoid given in the reference frame, turned about z."""
        reach = max(a for a in axes if np.isfinite(a)) * 1.1 + 2 * self.edge_mm / self.mm
        if np.isfinite(axes[0]) and np.abs(self.frame[0] - centre[0]).min() > reach:
            return
        at = rotated(self.frame, centre, turn_deg, 0) if turn_deg else self.frame
        self.fill(ellipsoid(at, centre, axes) * self.mm, value)

    def shows_a_wall(self) -> NDArray[np.bool_]:
        """Where a vessel's wall is seen: against fat, not against air or contrast."""
        return np.asarray((self.hu > -250) & (self.hu < 20))

    def part_around(self, centre_mm: Point, reach_mm: float) -> tuple[Slices, Slices] | None:
        """What of this slab is near a point, as a box of the grid and as a box of the slab; None if nothing is."""
        centre = np.asarray(centre_mm)
        near = self.grid.box_around(centre - reach_mm, centre + reach_mm)
        first, last = self.box[0].start, self.box[0].stop
        if near is None or near[0].stop <= first or near[0].start >= last:
            return None
        rows = slice(max(near[0].start, first), min(near[0].stop, last))
        return (rows, near[1], near[2]), (slice(rows.start - first, rows.stop - first), near[1], near[2])
