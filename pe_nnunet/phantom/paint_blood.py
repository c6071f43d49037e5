"""Pulmonary arteries and veins, clot, and what the flow of contrast does to the picture."""

from __future__ import annotations

import numpy as np

from pe_nnunet.phantom.contrast import MUSCLE_HU
from pe_nnunet.phantom.grid import Floats, occupancy
from pe_nnunet.phantom.paint_body import SOFT_HU
from pe_nnunet.phantom.slab import Slab


def paint_vessels(slab: Slab) -> None:
    """Veins, then arteries, then the clot in them."""
    scene, box = slab.scene, slab.box
    mixing = slab.textures.mixing.at(slab.at)
    wall = 0.8 * slab.mm
    in_fat = slab.shows_a_wall()
    for field in (scene.vein, scene.artery):
        slab.blend(np.where(in_fat, occupancy(field.distance[box] - wall, slab.edge_mm), 0), SOFT_HU)
    level = np.full(len(scene.trees.veins) + 1, scene.contrast.vein, np.float32)
    for finding in scene.lookalikes:
        if finding.kind == "unopacified vein":
            level[finding.pieces] = finding.level
    slab.blend(scene.vein.share[box], level[scene.vein.piece[box]] * (1 + 0.05 * mixing))
    blood = unmixed(slab, scene.contrast.artery * (1 + 0.05 * mixing), in_heart=False)
    share, clot = scene.artery.share[box], scene.clot.share[box]
    slab.blend(share, blood)
    # A voxel's artery share is blood and clot; what was painted as blood there becomes clot by the clot's share.
    slab.hu += clot * (scene.clot.hu[box] + 4 * slab.textures.parenchyma.at(slab.at) - blood)


def unmixed(slab: Slab, blood: Floats, *, in_heart: bool) -> Floats:
    """Blood with its contrast taken away where it is unmixed, in the heart and cava or in the arteries."""
    scene, fade = slab.scene, np.ones_like(blood)
    for finding in scene.lookalikes:
        if finding.kind != ("late mixing" if in_heart else "unmixed contrast"):
            continue
        parts = slab.part_around(finding.centre_mm, 1.9 * finding.size_mm[0])
        if parts is None:
            continue
        part, inner = parts
        z, y, x = (a - np.float32(c) for a, c in zip(slab.grid.axes(part), finding.centre_mm, strict=True))
        near = np.exp(-(((z * z + y * y + x * x) / np.float32(finding.size_mm[0]) ** 2) ** 1.5))
        if not in_heart:
            member = np.zeros(len(scene.trees.arteries) + 1, bool)
            member[finding.pieces] = True
            near = near * member[scene.artery.piece[part]]
        fade[inner] *= 1 - np.float32(finding.level) * near
    return np.asarray(MUSCLE_HU + (blood - MUSCLE_HU) * fade)


def paint_streaks(slab: Slab) -> None:
    """Dark and bright rays from dense contrast in the upper cava."""
    scene = slab.scene
    if not scene.contrast.streaks:
        return
    z, y, x = slab.frame
    strength = np.clip((z + 30) / 15, 0, 1) * (scene.contrast.upper_cava - 400) / 800
    if strength.max() <= 0:
        return
    phase, rays = slab.textures.levels[2] * 6.28, 5 + round(4 * float(slab.textures.levels[3]))
    dy, dx = y + 24, x + 29
    angle, away = np.arctan2(dy, dx), np.hypot(dy, dx)
    ray = np.cos(rays * angle + phase + 0.1 * z) * np.exp(-away / 32) * np.clip(away / 8 - 0.8, 0, 1)
    slab.hu += np.where(slab.hu > -400, np.float32(150) * strength * ray, 0)
