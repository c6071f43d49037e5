"""The organs of the chest: heart, lungs, great vessels, bronchi, and findings outside the vessels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.grid import Floats, Point, ellipsoid, occupancy, rotated
from pe_nnunet.phantom.lookalikes import Lookalike
from pe_nnunet.phantom.paint_blood import unmixed
from pe_nnunet.phantom.paint_body import SOFT_HU
from pe_nnunet.phantom.scene import Scene
from pe_nnunet.phantom.slab import Slab
from pe_nnunet.phantom.tubes import FAR, Tubes
from pe_nnunet.voxels import Slices


def paint_heart(slab: Slab) -> None:
    """Muscle, pericardial fat and four chambers."""
    scene, c = slab.scene, slab.scene.contrast
    heart = scene.thorax.heart(slab.at)
    if heart.min() > slab.edge_mm and np.abs(slab.frame[0] + 44).min() > 30:
        return
    size = scene.thorax.heart_size
    within = heart + 4 * slab.mm
    slab.fill(heart + 2.5 * slab.mm, -85.0)
    mixing = slab.textures.mixing.at(slab.at)
    slab.fill(heart + 5 * slab.mm, 105.0 if c.vein > 150 else 80.0)
    right = unmixed(slab, c.artery * (1 + 0.06 * mixing), in_heart=True)
    left = unmixed(slab, c.vein * (1 + 0.03 * mixing), in_heart=True)

    def chamber(centre: Point, axes: Point, turn_deg: float, wall: float) -> Floats:
        at = rotated(slab.frame, centre, turn_deg, 0)
        axes = (axes[0] * size, axes[1] * size, axes[2] * size)
        return np.asarray(np.maximum(ellipsoid(at, centre, axes) * slab.mm, within + wall * slab.mm))

    slab.fill(chamber((-64, -22, -22), (34, 26, 24), 0, 2), right)  # right atrium
    slab.fill(chamber((-68, -55, 10), (34, 19, 38), -25, 3), right)  # right ventricle
    slab.fill(chamber((-72, -22, 36), (28, 20, 37), -38, 9), left)  # left ventricle
    tubes = np.minimum(scene.artery.distance[slab.box], scene.bronchus.distance[slab.box])
    atrium = np.maximum(scene.thorax.left_atrium(slab.at), 2 - tubes)
    slab.fill(atrium - 2 * slab.mm, 70.0)
    slab.fill(atrium, left)


def paint_lungs(slab: Slab) -> None:
    """Lung tissue, denser at the back where it lies."""
    z, y, _ = slab.frame
    level, slope = slab.textures.levels[:2]
    parenchyma = -885 + 70 * level + (0.25 + 0.35 * slope) * (y + 20) + 26 * slab.textures.parenchyma.at(slab.at)
    slab.fill(lung_distance(slab.scene, slab.box), np.minimum(parenchyma, -700) + 0 * z)


def lung_distance(scene: Scene, box: Slices) -> Floats:
    """Signed distance to the lungs; their own vessels and bronchi count as lung, the great ones do not."""
    s = np.float32(scene.thorax.scale)
    lung = np.maximum(scene.lungs[box], np.float32(1.5) * s - scene.great.distance[box])
    central = _is_central(scene.trees.arteries, scene.artery.piece[box])
    central |= _is_central(scene.trees.bronchi, scene.bronchus.piece[box])
    tubes = np.minimum(scene.artery.distance[box], scene.bronchus.distance[box])
    return np.asarray(np.where(central, np.maximum(lung, np.float32(1.5) * s - tubes), lung))


def _is_central(tubes: Tubes, piece: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether the pieces are trunk or main branches; piece -1, which is none, is not."""
    return np.asarray(np.append(tubes.generation <= 1, False)[piece])


def paint_great_vessels(slab: Slab) -> None:
    """Aorta, caval and azygos veins, oesophagus."""
    scene, c = slab.scene, slab.scene.contrast
    of_branch = np.array([c.aorta, c.upper_cava, 0.9 * c.upper_cava, c.lower_cava, c.lower_cava, 42.0], np.float32)
    field, box = scene.great, slab.box
    wall = occupancy(field.distance[box] - 1.4 * slab.mm, slab.edge_mm)
    slab.blend(np.where(slab.shows_a_wall(), wall, 0), SOFT_HU)
    value = np.append(of_branch[scene.great_tubes.branch], 0).astype(np.float32)[field.piece[box]]
    # Dense contrast comes in from above and lies heavy: swirls and layers.
    swirl = np.where(value > 500, np.float32(0.22), np.float32(0.03)) * slab.textures.mixing.at(slab.at)
    slab.blend(field.share[box], unmixed(slab, value * (1 + swirl), in_heart=True))


def paint_bronchi(slab: Slab) -> None:
    """Walls and air, or mucus."""
    field, box = slab.scene.bronchus, slab.box
    radius = np.append(slab.scene.trees.bronchi.radius, 0).astype(np.float32)[field.piece[box]]
    wall = occupancy(field.distance[box] - np.clip(0.28 * radius, 0.5, 1.6), slab.edge_mm) * (field.distance[box] < 4)
    slab.blend(wall, 15.0)
    level = np.full(len(slab.scene.trees.bronchi) + 1, -985, np.float32)
    for finding in slab.scene.lookalikes:
        if finding.kind == "plugged bronchus":
            level[finding.pieces] = finding.level
    slab.blend(field.share[box], level[field.piece[box]])


def paint_findings(slab: Slab) -> None:
    """Findings outside the vessels; round airways, never in them."""
    for finding in slab.scene.lookalikes:
        if finding.kind not in ("lymph node", "atelectasis", "thickened sheath"):
            continue
        parts = slab.part_around(finding.centre_mm, 1.6 * max(finding.size_mm) + 2 * slab.edge_mm + 6)
        if parts is None:
            continue
        part, inner = parts
        distance = np.maximum(_surface(slab, finding, part), 1.0 - slab.scene.bronchus.distance[part])
        view = slab.hu[inner]
        view += (finding.level - view) * occupancy(distance, slab.edge_mm)


def _surface(slab: Slab, finding: Lookalike, part: Slices) -> Floats:
    """Signed distance to a node, a plate or a sheath."""
    at, scene = slab.grid.axes(part), slab.scene
    if finding.kind != "thickened sheath":
        turned = rotated(at, finding.centre_mm, *finding.turn_deg) if any(finding.turn_deg) else at
        body = ellipsoid(turned, finding.centre_mm, finding.size_mm)
        return np.asarray(np.maximum(body, scene.lungs[part])) if finding.kind == "atelectasis" else body
    half_length, thick, _ = finding.size_mm
    away = np.sqrt(sum((a - np.float32(c)) ** 2 for a, c in zip(at, finding.centre_mm, strict=True)))
    member = np.zeros(len(scene.trees.arteries) + 1, bool)
    member[finding.pieces] = True
    thickness = np.float32(thick) * np.clip((half_length - away) / 4 + 1, 0, 1)
    sheath = scene.artery.distance[part] - thickness
    return np.asarray(np.where(member[scene.artery.piece[part]], sheath, FAR))
