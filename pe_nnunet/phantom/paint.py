"""From what a scan shows to Hounsfield units: structures painted from the outside in, edges shared between voxels."""

from __future__ import annotations

import numpy as np

from pe_nnunet.phantom.grid import Floats
from pe_nnunet.phantom.paint_blood import paint_streaks, paint_vessels
from pe_nnunet.phantom.paint_body import paint_belly, paint_body_wall, paint_bones, paint_mediastinum, paint_table
from pe_nnunet.phantom.paint_chest import (
    paint_bronchi,
    paint_findings,
    paint_great_vessels,
    paint_heart,
    paint_lungs,
)
from pe_nnunet.phantom.scene import Scene
from pe_nnunet.phantom.slab import Slab, Textures

SLAB = 16  # slices painted at a time: the temporary arrays stay in the processor's cache

LAYERS = (
    paint_table,
    paint_body_wall,
    paint_belly,
    paint_mediastinum,
    paint_bones,
    paint_heart,
    paint_lungs,
    paint_great_vessels,
    paint_bronchi,
    paint_findings,
    paint_vessels,
    paint_streaks,
)
"""In painting order: what comes later lies over what came before."""


def paint(scene: Scene, rng: np.random.Generator) -> Floats:
    """Hounsfield units on the rendering grid, before blur and noise."""
    textures = Textures(rng, scene)
    slices, rows, columns = scene.grid.shape
    hu = np.empty(scene.grid.shape, np.float32)
    for start in range(0, slices, SLAB):
        box = (slice(start, min(start + SLAB, slices)), slice(0, rows), slice(0, columns))
        slab = Slab(scene, textures, box)
        for layer in LAYERS:
            layer(slab)
        hu[box[0]] = slab.hu
    return hu
