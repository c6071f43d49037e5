"""The body around the lungs: table, chest wall, upper belly, bones, fat of the mediastinum."""

from __future__ import annotations

import numpy as np

from pe_nnunet.phantom.contrast import MUSCLE_HU
from pe_nnunet.phantom.grid import ellipsoid
from pe_nnunet.phantom.slab import Slab

FAT_HU, SOFT_HU, LIVER_HU, MARROW_HU, CORTEX_HU = -102.0, 45.0, 105.0, 170.0, 620.0
NOWHERE = np.float32(100)  # mm: a distance at which nothing is painted


def paint_table(slab: Slab) -> None:
    """A foam mattress between two curved shells."""
    _, y, x = slab.frame
    top = 108 * slab.scene.thorax.depth + 3 - (x / 150) ** 2 * 16
    below, side = y - top, (np.abs(x) - 165) * slab.mm
    slab.fill(np.maximum(np.maximum(-below, below - 20) * slab.mm, side), -940.0)  # foam
    for depth in (0.0, 20.0):
        slab.fill(np.maximum((np.abs(below - depth) - 1.6) * slab.mm, side), -150.0)


def paint_body_wall(slab: Slab) -> None:
    """Skin, fat and muscle up to the rib cage."""
    thorax = slab.scene.thorax
    skin = thorax.body(slab.at)
    slab.fill(skin, 5.0)
    slab.fill(skin + 2.0 * slab.mm, FAT_HU)
    tissue = slab.textures.tissue.at(slab.at)
    depth = skin + (thorax.fat + 2.5 * tissue) * slab.mm
    ribs = thorax.rib_cage(slab.at)
    # Muscle lies under the skin's fat and on the ribs; what is left between, at the shoulders, is fat.
    muscle = np.minimum(np.maximum(depth, -depth - (17 + 3 * tissue) * slab.mm), ribs - (13 + 2 * tissue) * slab.mm)
    slab.fill(np.maximum(muscle, depth), np.where(tissue > 1.4, np.float32(FAT_HU), np.float32(MUSCLE_HU)))
    slab.fill(ribs - 1.5 * slab.mm, -60.0 + 30 * np.clip(tissue, -1, 1))


def paint_belly(slab: Slab) -> None:
    """Liver, spleen and stomach under the diaphragm."""
    scene = slab.scene
    below = np.maximum(
        scene.thorax.rib_cage(slab.at) + 2 * slab.mm, scene.thorax.diaphragm_height(slab.at) + 1.5 * slab.mm
    )
    if below.min() > slab.edge_mm:
        return
    z, y, x = slab.frame
    dome = scene.thorax.diaphragm
    organ = 4 * slab.textures.organ.at(slab.at)
    slab.fill(below, FAT_HU)
    slab.fill(np.maximum(below, (x - 22) * slab.mm), LIVER_HU + organ)
    slab.fill(np.maximum(below, (ellipsoid(slab.frame, (dome - 52, 40, 88), (44, 42, 34)) * slab.mm)), 118.0 + organ)
    stomach = np.maximum(below + 3 * slab.mm, ellipsoid(slab.frame, (dome - 44, -12, 62), (36, 44, 36)) * slab.mm)
    slab.fill(stomach - 3 * slab.mm, 50.0)
    slab.fill(stomach, np.where(y < -8, np.float32(-980), np.float32(20)) + 0 * z)


def paint_mediastinum(slab: Slab) -> None:
    """Fat with strands and lobules of soft tissue; the lungs are painted over it."""
    thorax = slab.scene.thorax
    tissue = slab.textures.tissue.at(slab.at)
    inner = np.maximum(thorax.rib_cage(slab.at), -thorax.diaphragm_height(slab.at))
    slab.fill(inner, np.where(tissue > 1.1, np.float32(SOFT_HU), np.float32(-92)) + 8 * tissue)


def paint_bones(slab: Slab) -> None:
    """Spine, breastbone, ribs and shoulder blades."""
    _spine(slab)
    _breastbone(slab)
    _ribs(slab)
    for side in (-1, 1):
        slab.blob((48, 74, 88 * side), (52, 3.2, 32), 420.0, turn_deg=-28 * side)


def _spine(slab: Slab) -> None:
    """Vertebral bodies and discs, arch and canal, processes."""
    z = slab.frame[0]
    thorax = slab.scene.thorax
    spine = thorax.spine(slab.at)
    slab.fill(spine - 10 * slab.mm, MUSCLE_HU)
    slab.fill(spine, CORTEX_HU)
    disc = np.abs((z + 300) % 24 - 12) > 9.5
    marrow = np.where(disc, np.float32(95), np.float32(MARROW_HU)) + 25 * slab.textures.parenchyma.at(slab.at)
    slab.fill(np.maximum(spine + 2.0 * slab.mm, -100), marrow)
    slab.fill(np.where(disc, spine, NOWHERE), 95.0)
    inf = np.inf
    slab.blob((0, 79, 0), (inf, 12.5, 14), 480.0)  # arch
    slab.blob((0, 76, 0), (inf, 8.5, 10), 30.0)  # canal
    process = np.abs((z + 300) % 24 - 12) < 7
    slab.fill(np.where(process, ellipsoid(slab.frame, (0, 94, 0), (inf, 9, 3)) * slab.mm, NOWHERE), 420.0)
    slab.fill(np.where(process, ellipsoid(slab.frame, (0, 74, 0), (inf, 5, 34)) * slab.mm, NOWHERE), 330.0)


def _breastbone(slab: Slab) -> None:
    """A flat bone in front."""
    thorax, z = slab.scene.thorax, slab.frame[0]
    front = -8 - 98 * thorax.depth + 0.3 * thorax.fat
    breastbone = np.maximum(ellipsoid(slab.frame, (0, front, 0), (np.inf, 6, 17)) * slab.mm, (np.abs(z) - 74) * slab.mm)
    slab.fill(breastbone, 430.0)
    slab.fill(breastbone + 2 * slab.mm, MARROW_HU)


def _ribs(slab: Slab) -> None:
    """Ribs run round the chest, falling towards the front; only their section with the wall shows in a slice."""
    thorax, (z, y, x) = slab.scene.thorax, slab.frame
    angle = np.arctan2(np.abs(x), y - 20)  # 0 at the spine
    height = (z - thorax.rib_phase + 62 * (1 - np.cos(angle))) % 26 - 13
    outwards = thorax.rib_cage(slab.at) / slab.mm - 6.5
    rib = (np.hypot(height / 1.7, outwards) - 3.6) * slab.mm
    rib = np.maximum(rib, np.where(z > thorax.apex - 14, np.float32(50), np.float32(-50)))
    rib = np.maximum(rib, (angle - 2.65) * 40 * slab.mm)
    gristle = np.clip((angle - 2.15) / 0.2, 0, 1)  # costal cartilage in front
    slab.fill(rib, 560 - 440 * gristle)
    slab.fill(rib + 2.0 * slab.mm, 230 - 110 * gristle)
