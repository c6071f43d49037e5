"""From what a scan shows to Hounsfield units: structures painted from the outside in, edges shared between voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.contrast import MUSCLE_HU
from pe_nnunet.phantom.grid import Grid
from pe_nnunet.phantom.lookalikes import Lookalike
from pe_nnunet.phantom.scene import GREAT, Scene
from pe_nnunet.phantom.shapes import Coordinates, Floats, ellipsoid, occupancy, rotated
from pe_nnunet.phantom.texture import Texture
from pe_nnunet.phantom.tubes import FAR

Box = tuple[slice, slice, slice]
SLAB = 16  # slices painted at a time: the temporary arrays stay in the processor's cache

AIR, FAT, WATER, SOFT, LIVER, MARROW, CORTEX = -1000.0, -102.0, 12.0, 45.0, 105.0, 170.0, 620.0


class Textures:
    """The random fields of one scan."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        extent, s = scene.thorax.extent_mm(), scene.thorax.scale
        self.parenchyma = Texture(rng, extent, 5.0 * s)
        self.tissue = Texture(rng, extent, 9.0 * s)
        self.organ = Texture(rng, extent, 28.0 * s)
        self.mixing = Texture(rng, extent, 18.0 * s)
        self.levels = rng.uniform(size=8)


def paint(scene: Scene, rng: np.random.Generator) -> Floats:
    """Hounsfield units on the rendering grid, before blur and noise."""
    textures = Textures(rng, scene)
    hu = np.empty(scene.grid.shape, np.float32)
    for start in range(0, scene.grid.shape[0], SLAB):
        box = (slice(start, min(start + SLAB, scene.grid.shape[0])), *(slice(0, n) for n in scene.grid.shape[1:]))
        hu[box[0]] = _Slab(scene, textures, box).paint()
    return hu


def lung_distance(scene: Scene, box: Box) -> Floats:
    """Signed distance to the lungs; their own vessels and bronchi count as lung, the great ones do not."""
    s = np.float32(scene.thorax.scale)
    lung = np.maximum(scene.lungs[box], np.float32(1.5) * s - scene.great.distance[box])
    central = _is_central(scene, "arteries", scene.artery.piece[box]) | _is_central(
        scene, "bronchi", scene.bronchus.piece[box]
    )
    tubes = np.minimum(scene.artery.distance[box], scene.bronchus.distance[box])
    return np.where(central, np.maximum(lung, np.float32(1.5) * s - tubes), lung)


def _is_central(scene: Scene, tree: str, piece: NDArray[np.int32]) -> NDArray[np.bool_]:
    generation = getattr(scene.trees, tree).generation
    return np.asarray(np.append(generation <= 1, False)[piece])


class _Slab:
    """A few slices while they are painted."""

    def __init__(self, scene: Scene, textures: Textures, box: Box) -> None:
        self.scene, self.textures, self.box = scene, textures, box
        self.grid: Grid = scene.grid
        self.at: Coordinates = scene.grid.axes(box)
        self.frame = scene.thorax.unscaled(self.at)
        self.mm = np.float32(scene.thorax.scale)  # one millimetre of the reference frame
        self.edge = scene.grid.edge_mm
        self.hu = np.full([s.stop - s.start for s in box], AIR, np.float32)

    def paint(self) -> Floats:
        self._table()
        self._body_wall()
        self._belly()
        self._mediastinum()
        self._bones()
        self._heart()
        self._lungs()
        self._great_vessels()
        self._bronchi()
        self._nodes_and_plates()
        self._vessels()
        self._streaks()
        return self.hu

    def fill(self, distance: Floats, value: float | Floats) -> None:
        """Paint what lies inside a surface."""
        self.blend(occupancy(distance, self.edge), value)

    def blend(self, share: Floats, value: float | Floats) -> None:
        """Paint by share of the voxel."""
        self.hu += (value - self.hu) * share

    def blob(
        self, centre: tuple[float, float, float], axes: tuple[float, float, float], value: float, turn: float = 0
    ) -> None:
        """Paint an ellipsoid given in the reference frame, (z, y, x)."""
        reach = max(a for a in axes if np.isfinite(a)) * 1.1 + 2 * self.edge / self.mm
        if np.isfinite(axes[0]) and (np.abs(self.frame[0] - centre[0]).min() > reach):
            return
        at = rotated(self.frame, centre, turn, 0) if turn else self.frame
        self.fill(ellipsoid(at, centre, axes) * self.mm, value)

    def _table(self) -> None:
        _, y, x = self.frame
        top = 108 * self.scene.thorax.depth + 3 - (x / 150) ** 2 * 16
        below, side = y - top, (np.abs(x) - 165) * self.mm
        self.fill(np.maximum(np.maximum(-below, below - 20) * self.mm, side), -940.0)  # foam
        for depth in (0.0, 20.0):
            self.fill(np.maximum((np.abs(below - depth) - 1.6) * self.mm, side), -150.0)

    def _body_wall(self) -> None:
        thorax = self.scene.thorax
        skin = thorax.body(self.at)
        self.fill(skin, 5.0)
        self.fill(skin + 2.0 * self.mm, FAT)
        tissue = self.textures.tissue.at(self.at)
        depth = skin + (thorax.fat + 2.5 * tissue) * self.mm
        ribs = thorax.rib_cage(self.at)
        # Muscle lies under the skin's fat and on the ribs; what is left between, at the shoulders, is fat.
        muscle = np.minimum(np.maximum(depth, -depth - (17 + 3 * tissue) * self.mm), ribs - (13 + 2 * tissue) * self.mm)
        self.fill(np.maximum(muscle, depth), np.where(tissue > 1.4, np.float32(FAT), np.float32(MUSCLE_HU)))
        self.fill(ribs - 1.5 * self.mm, -60.0 + 30 * np.clip(tissue, -1, 1))

    def _belly(self) -> None:
        scene = self.scene
        below = np.maximum(
            scene.thorax.rib_cage(self.at) + 2 * self.mm, scene.thorax.diaphragm_height(self.at) + 1.5 * self.mm
        )
        if below.min() > self.edge:
            return
        z, y, x = self.frame
        dome = scene.thorax.diaphragm
        organ = 4 * self.textures.organ.at(self.at)
        self.fill(below, FAT)
        self.fill(np.maximum(below, (x - 22) * self.mm), LIVER + organ)
        self.fill(
            np.maximum(below, (ellipsoid(self.frame, (dome - 52, 40, 88), (44, 42, 34)) * self.mm)), 118.0 + organ
        )
        stomach = np.maximum(below + 3 * self.mm, ellipsoid(self.frame, (dome - 44, -12, 62), (36, 44, 36)) * self.mm)
        self.fill(stomach - 3 * self.mm, 50.0)
        self.fill(stomach, np.where(y < -8, np.float32(-980), np.float32(20)) + 0 * z)

    def _mediastinum(self) -> None:
        thorax = self.scene.thorax
        tissue = self.textures.tissue.at(self.at)
        inner = np.maximum(thorax.rib_cage(self.at), -thorax.diaphragm_height(self.at))
        self.fill(inner, np.where(tissue > 1.1, np.float32(SOFT), np.float32(-92)) + 8 * tissue)

    def _bones(self) -> None:
        scene, (z, y, x) = self.scene, self.frame
        thorax = scene.thorax
        spine = thorax.spine(self.at)
        self.fill(spine - 10 * self.mm, MUSCLE_HU)
        self.fill(spine, CORTEX)
        disc = np.abs((z + 300) % 24 - 12) > 9.5
        marrow = np.where(disc, np.float32(95), np.float32(MARROW)) + 25 * self.textures.parenchyma.at(self.at)
        self.fill(np.maximum(spine + 2.0 * self.mm, -100), marrow)
        self.fill(np.where(disc, spine, np.float32(100)), 95.0)
        inf = np.inf
        self.blob((0, 79, 0), (inf, 12.5, 14), 480.0)  # arch
        self.blob((0, 76, 0), (inf, 8.5, 10), 30.0)  # canal
        process = np.abs((z + 300) % 24 - 12) < 7
        self.fill(np.where(process, ellipsoid(self.frame, (0, 94, 0), (inf, 9, 3)) * self.mm, np.float32(100)), 420.0)
        self.fill(np.where(process, ellipsoid(self.frame, (0, 74, 0), (inf, 5, 34)) * self.mm, np.float32(100)), 330.0)
        front = -8 - 98 * thorax.depth + 0.3 * thorax.fat
        breastbone = np.maximum(
            ellipsoid(self.frame, (0, front, 0), (inf, 6, 17)) * self.mm, (np.abs(z) - 74) * self.mm
        )
        self.fill(breastbone, 430.0)
        self.fill(breastbone + 2 * self.mm, MARROW)
        # Ribs run round the chest, falling towards the front; only their section with the wall shows in a slice.
        angle = np.arctan2(np.abs(x), y - 20)  # 0 at the spine
        height = (z - thorax.rib_phase + 62 * (1 - np.cos(angle))) % 26 - 13
        outwards = thorax.rib_cage(self.at) / self.mm - 6.5
        rib = (np.hypot(height / 1.7, outwards) - 3.6) * self.mm
        rib = np.maximum(rib, np.where(z > thorax.apex - 14, np.float32(50), np.float32(-50)))
        rib = np.maximum(rib, (angle - 2.65) * 40 * self.mm)
        gristle = np.clip((angle - 2.15) / 0.2, 0, 1)  # costal cartilage in front
        self.fill(rib, 560 - 440 * gristle)
        self.fill(rib + 2.0 * self.mm, 230 - 110 * gristle)
        self.blob((48, 74, -88), (52, 3.2, 32), 420.0, 28)  # shoulder blades
        self.blob((48, 74, 88), (52, 3.2, 32), 420.0, -28)

    def _heart(self) -> None:
        scene, c = self.scene, self.scene.contrast
        heart = scene.thorax.heart(self.at)
        if heart.min() > self.edge and np.abs(self.frame[0] + 44).min() > 30:
            return
        size = scene.thorax.heart_size
        within = heart + 4 * self.mm
        self.fill(heart + 2.5 * self.mm, -85.0)
        mixing = self.textures.mixing.at(self.at)
        self.fill(heart + 5 * self.mm, 105.0 if c.vein > 150 else 80.0)
        right = self._faded(c.artery * (1 + 0.06 * mixing), in_heart=True)
        left = self._faded(c.vein * (1 + 0.03 * mixing), in_heart=True)

        def chamber(
            centre: tuple[float, float, float], axes: tuple[float, float, float], turn: float, wall: float
        ) -> Floats:
            at = rotated(self.frame, centre, turn, 0)
            axes = (axes[0] * size, axes[1] * size, axes[2] * size)
            return np.maximum(ellipsoid(at, centre, axes) * self.mm, within + wall * self.mm)

        self.fill(chamber((-64, -22, -22), (34, 26, 24), 0, 2), right)
        self.fill(chamber((-68, -55, 10), (34, 19, 38), -25, 3), right)
        self.fill(chamber((-72, -22, 36), (28, 20, 37), -38, 9), left)
        atrium = np.maximum(
            ellipsoid(self.frame, (-44, 9, 3), (21, 15, 29)) * self.mm,
            np.float32(2.0) - scene.artery.distance[self.box],
        )
        atrium = np.maximum(atrium, np.float32(2.0) - scene.bronchus.distance[self.box])
        self.fill(atrium - 2 * self.mm, 70.0)
        self.fill(atrium, left)

    def _lungs(self) -> None:
        z, y, _ = self.frame
        level, slope = self.textures.levels[:2]
        parenchyma = -885 + 70 * level + (0.25 + 0.35 * slope) * (y + 20) + 26 * self.textures.parenchyma.at(self.at)
        self.fill(lung_distance(self.scene, self.box), np.minimum(parenchyma, -700) + 0 * z)

    def _great_vessels(self) -> None:
        scene, c = self.scene, self.scene.contrast
        level = dict(
            zip(GREAT, (c.aorta, c.upper_cava, c.upper_cava * 0.9, c.lower_cava, c.lower_cava, 42.0), strict=True)
        )
        of_branch = np.array([level[name] for name in GREAT], np.float32)
        field, box = scene.great, self.box
        wall = occupancy(field.distance[box] - 1.4 * self.mm, self.edge)
        self.blend(np.where(self._shows_a_wall(), wall, 0), SOFT)
        value = np.append(of_branch[scene.great_tubes.branch], 0).astype(np.float32)[field.piece[box]]
        # Dense contrast comes in from above and lies heavy: swirls and layers.
        swirl = np.where(value > 500, np.float32(0.22), np.float32(0.03)) * self.textures.mixing.at(self.at)
        self.blend(field.share[box], self._faded(value * (1 + swirl), in_heart=True))

    def _shows_a_wall(self) -> NDArray[np.bool_]:
        """Where a vessel's wall is seen: against fat, not against air or contrast."""
        return (self.hu > -250) & (self.hu < 20)

    def _bronchi(self) -> None:
        field, box = self.scene.bronchus, self.box
        radius = np.append(self.scene.trees.bronchi.radius, 0).astype(np.float32)[field.piece[box]]
        wall = occupancy(field.distance[box] - np.clip(0.28 * radius, 0.5, 1.6), self.edge) * (field.distance[box] < 4)
        self.blend(wall, 15.0)
        level = np.full(len(self.scene.trees.bronchi) + 1, -985, np.float32)
        for finding in self.scene.lookalikes:
            if finding.kind == "plugged bronchus":
                level[finding.pieces] = finding.level
        self.blend(field.share[box], level[field.piece[box]])

    def _nodes_and_plates(self) -> None:
        """Findings outside the vessels; round airways, never in them."""
        for finding in self.scene.lookalikes:
            if finding.kind not in ("lymph node", "atelectasis", "thickened sheath"):
                continue
            part, inner = self._part_around(finding.centre_mm, 1.6 * max(finding.size_mm) + 2 * self.edge + 6)
            if part is None:
                continue
            distance = np.maximum(self._finding(finding, part), 1.0 - self.scene.bronchus.distance[part])
            view = self.hu[inner]
            view += (finding.level - view) * occupancy(distance, self.edge)

    def _finding(self, finding: Lookalike, part: Box) -> Floats:
        """Signed distance to a node, a plate or a sheath."""
        at, scene = self.grid.axes(part), self.scene
        if finding.kind != "thickened sheath":
            turned = rotated(at, finding.centre_mm, *finding.turn_deg) if any(finding.turn_deg) else at
            body = ellipsoid(turned, finding.centre_mm, finding.size_mm)
            return np.maximum(body, scene.lungs[part]) if finding.kind == "atelectasis" else body
        half_length, thick, _ = finding.size_mm
        away = np.sqrt(sum((a - np.float32(c)) ** 2 for a, c in zip(at, finding.centre_mm, strict=True)))
        member = np.zeros(len(scene.trees.arteries) + 1, bool)
        member[finding.pieces] = True
        thickness = np.float32(thick) * np.clip((half_length - away) / 4 + 1, 0, 1)
        return np.where(member[scene.artery.piece[part]], scene.artery.distance[part] - thickness, np.float32(FAR))

    def _part_around(self, centre_mm: tuple[float, float, float], reach_mm: float) -> tuple[Box | None, Box]:
        """The part of this slab near a point, as a box of the grid and as a box of the slab."""
        centre = np.asarray(centre_mm)
        near = self.grid.box_around(centre - reach_mm, centre + reach_mm)
        first, last = self.box[0].start, self.box[0].stop
        if near is None or near[0].stop <= first or near[0].start >= last:
            return None, self.box
        rows = slice(max(near[0].start, first), min(near[0].stop, last))
        return (rows, near[1], near[2]), (slice(rows.start - first, rows.stop - first), near[1], near[2])

    def _vessels(self) -> None:
        scene, box = self.scene, self.box
        mixing = self.textures.mixing.at(self.at)
        wall = 0.8 * self.mm
        in_fat = self._shows_a_wall()
        for field in (scene.vein, scene.artery):
            self.blend(np.where(in_fat, occupancy(field.distance[box] - wall, self.edge), 0), SOFT)
        level = np.full(len(scene.trees.veins) + 1, scene.contrast.vein, np.float32)
        for finding in scene.lookalikes:
            if finding.kind == "unopacified vein":
                level[finding.pieces] = finding.level
        self.blend(scene.vein.share[box], level[scene.vein.piece[box]] * (1 + 0.05 * mixing))
        blood = self._artery_blood(mixing)
        share, clot = scene.artery.share[box], scene.clot.share[box]
        self.blend(share, blood)
        # A voxel's artery share is blood and clot; what was painted as blood there becomes clot by the clot's share.
        self.hu += clot * (scene.clot.hu[box] + 4 * self.textures.parenchyma.at(self.at) - blood)

    def _artery_blood(self, mixing: Floats) -> Floats:
        """Attenuation of arterial blood: swirls everywhere, and stretches that the contrast has not filled."""
        return self._faded(self.scene.contrast.artery * (1 + 0.05 * mixing), in_heart=False)

    def _faded(self, blood: Floats, *, in_heart: bool) -> Floats:
        """Blood with its contrast taken away where it is unmixed, in the heart and cava or in the arteries."""
        scene, fade = self.scene, np.ones_like(blood)
        for finding in scene.lookalikes:
            if finding.kind != "unmixed contrast" or (finding.pieces.size == 0) is not in_heart:
                continue
            part, inner = self._part_around(finding.centre_mm, 1.9 * finding.size_mm[0])
            if part is None:
                continue
            z, y, x = (a - np.float32(c) for a, c in zip(self.grid.axes(part), finding.centre_mm, strict=True))
            near = np.exp(-(((z * z + y * y + x * x) / np.float32(finding.size_mm[0]) ** 2) ** 1.5))
            if not in_heart:
                member = np.zeros(len(scene.trees.arteries) + 1, bool)
                member[finding.pieces] = True
                near = near * member[scene.artery.piece[part]]
            fade[inner] *= 1 - np.float32(finding.level) * near
        return np.asarray(MUSCLE_HU + (blood - MUSCLE_HU) * fade)

    def _streaks(self) -> None:
        """Dark and bright rays from dense contrast in the upper cava."""
        scene = self.scene
        if not scene.contrast.streaks:
            return
        z, y, x = self.frame
        strength = np.clip((z + 30) / 15, 0, 1) * (scene.contrast.upper_cava - 400) / 800
        if strength.max() <= 0:
            return
        phase, rays = self.textures.levels[2] * 6.28, 5 + round(4 * float(self.textures.levels[3]))
        dy, dx = y + 24, x + 29
        angle, away = np.arctan2(dy, dx), np.hypot(dy, dx)
        ray = np.cos(rays * angle + phase + 0.1 * z) * np.exp(-away / 32) * np.clip(away / 8 - 0.8, 0, 1)
        self.hu += np.where(self.hu > -400, np.float32(150) * strength * ray, 0)
