"""A small tree of arteries whose divisions, sides and widths are known, drawn once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.phantom.grid import Grid
from pe_nnunet.phantom.tubes import TubeField, Tubes, TubesBuilder, rasterise

GRID = Grid((1.5, 1.5, 1.5), (0.0, 0.0, 0.0), (70, 50, 110))
COURSES = {  # parent, end (z, y, x), radius, mm
    "trunk": ("", (52, 52, 82), 10.0),
    "right main": ("trunk", (52, 54, 52), 7.5),
    "left main": ("trunk", (52, 54, 112), 7.5),
    "right upper": ("right main", (80, 50, 36), 4.5),
    "right lower": ("right main", (26, 58, 36), 6.4),
    "left upper": ("left main", (80, 50, 128), 4.5),
    "left lower": ("left main", (26, 58, 128), 6.4),
    "lower one": ("right lower", (8, 40, 30), 3.0),
    "lower two": ("right lower", (8, 62, 14), 3.0),
}


@dataclass(frozen=True)
class SmallTree:
    tubes: Tubes
    lumen: TubeField
    number: dict[str, int]

    @property
    def artery(self) -> sitk.Image:
        return GRID.image((self.lumen.distance < 0).astype(np.uint8))

    def clot(self, name: str, *, width: float = 1.0, middle: float = 0.5, half_mm: float = 6.0) -> np.ndarray:
        """A clot in the middle of a branch, so many radii of the lumen wide."""
        k = self.number[name]
        start, end = self.tubes.start[k], self.tubes.end[k]
        heading = self.tubes.direction[k]
        z, y, x = np.meshgrid(*(a.ravel() for a in GRID.axes()), indexing="ij")
        offset = np.stack([z, y, x], -1) - (start + middle * (end - start))
        along = offset @ heading
        away = np.linalg.norm(offset - along[..., None] * heading, axis=-1)
        inside = (self.lumen.distance < 0) & (away <= width * self.tubes.radius[k] + 0.1)
        return inside & (abs(along) <= half_mm)


@pytest.fixture(scope="package")
def tree() -> SmallTree:
    builder = TubesBuilder()
    ends: dict[str, int] = {}
    for name, (parent, end, radius) in COURSES.items():
        start = builder.end_of(ends[parent])[0] if parent else np.array([36.0, 14.0, 82.0])
        ends[name] = builder.add(np.vstack([start, end]), [radius, radius], ends.get(parent, -1))
    tubes = builder.build()
    return SmallTree(tubes, rasterise(tubes, GRID), ends)
