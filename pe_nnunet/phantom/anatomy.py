"""One person's thorax: body, lungs, heart and bones as signed distances in mm, drawn around the carina.

Landmarks are written in mm as (x, y, z) in LPS with the carina near the origin, for a thorax 340 mm wide, and scaled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.grid import Coordinates, Floats, ellipsoid, rotated, superellipse
from pe_nnunet.phantom.settings import REFERENCE_WIDTH_MM, PhantomSettings

LOBES = ("right upper", "right middle", "right lower", "left upper", "left lower")


@dataclass(frozen=True)
class Thorax:
    """Measures of one person; lengths in mm at the reference width, times `scale`.

    Attributes:
        scale: Outer width over the reference width.
        depth: Front-to-back size of body and rib cage, relative to the reference.
        fat: Thickness of the subcutaneous fat.
        heart_size: Size of the heart, relative.
        mediastinum: Half-width of the mediastinum beside the vessels.
        diaphragm: Height of the right dome; the left one is lower.
        apex: Height of the lungs' tips.
        rib_phase: Where the first rib passes the spine.
    """

    scale: float
    depth: float
    fat: float
    heart_size: float
    mediastinum: float
    diaphragm: float
    apex: float
    rib_phase: float

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: PhantomSettings) -> Thorax:
        """A person of the settings' size."""
        return cls(
            scale=float(rng.uniform(*settings.thorax_width_mm)) / REFERENCE_WIDTH_MM,
            depth=float(rng.uniform(0.93, 1.12)),
            fat=float(rng.uniform(8, 20)),
            heart_size=float(rng.uniform(0.9, 1.12)),
            mediastinum=float(rng.uniform(17, 24)),
            diaphragm=float(rng.uniform(-112, -92)),
            apex=float(rng.uniform(88, 102)),
            rib_phase=float(rng.uniform(0, 26)),
        )

    def unscaled(self, at: Coordinates) -> Coordinates:
        """Coordinates in the reference frame."""
        z, y, x = at
        s = np.float32(1 / self.scale)
        return z * s, y * s, x * s

    def extent_mm(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Corners (z, y, x) of the field of view, table included."""
        low = (self.diaphragm - 62, -130 * self.depth, -178.0)
        high = (self.apex + 14, 112 * self.depth + 34, 178.0)
        return tuple(v * self.scale for v in low), tuple(v * self.scale for v in high)  # type: ignore[return-value]

    def body(self, at: Coordinates) -> Floats:
        """The skin's surface."""
        z, y, x = self.unscaled(at)
        waist = 1 - 0.05 * np.clip((z - 40) / 80, 0, 1) ** 2
        norm = superellipse(((y + 8) / waist, x / waist), (116 * self.depth, 169.0), 2.4)
        return self._radial(norm, y + 8, x)

    def rib_cage(self, at: Coordinates) -> Floats:
        """The inner surface of the chest wall, closed by a dome above."""
        z, y, x = self.unscaled(at)
        norm = superellipse((y + 8, x), ((91 - 0.3 * self.fat) * self.depth, 134 - 0.3 * self.fat), 2.3)
        up = np.maximum(z + 45, 0) / np.float32(self.apex + 45)
        return self._radial(np.sqrt(norm**2 + up**2), y + 8, x)

    def _radial(self, norm: Floats, y: Floats, x: Floats) -> Floats:
        """Distance along the ray from the axis to where the norm is 1, slightly more than the true distance."""
        return np.asarray(
            (norm - 1) / np.maximum(norm, 1e-3) * np.maximum(np.hypot(y, x), 45) * self.scale, dtype=np.float32
        )

    def diaphragm_height(self, at: Coordinates) -> Floats:
        """Signed distance to what lies under the diaphragm's two domes."""
        z, y, x = self.unscaled(at)
        right = self.diaphragm - 52 * (((x + 66) / 92) ** 2 + ((y - 2) / 105) ** 2)
        left = self.diaphragm - 14 - 52 * (((x - 72) / 90) ** 2 + ((y - 2) / 105) ** 2)
        return np.asarray((z - np.maximum(right, left)) * 0.75 * self.scale, dtype=np.float32)

    def heart(self, at: Coordinates) -> Floats:
        """The pericardium."""
        size = self.heart_size
        turned = rotated(self.unscaled(at), (-62, -33, 16), -30, -20)
        pericardium = ellipsoid(turned, (-62, -33, 16), (47 * size, 46 * size, 60 * size))
        return np.asarray(pericardium * self.scale, dtype=np.float32)

    def left_atrium(self, at: Coordinates) -> Floats:
        """The left atrium, into which the veins lead."""
        distance = ellipsoid(self.unscaled(at), (-44, 9, 3), (21, 15, 29))
        return np.asarray(distance * self.scale, dtype=np.float32)

    def spine(self, at: Coordinates) -> Floats:
        """The vertebral bodies, with narrower discs between them."""
        z, y, x = self.unscaled(at)
        disc = np.abs((z + 300) % 24 - 12) / 12  # 1 at the discs
        waist = 1 - 0.06 * (1 - disc) ** 2
        return np.asarray(
            ellipsoid((z * 0, (y - 54) / waist, x / waist), (0, 0, 0), (np.inf, 15.5, 18.5)) * self.scale,
            dtype=np.float32,
        )

    def hila(self, at: Coordinates) -> Floats:
        """Fat and tissue where the vessels enter the lungs."""
        frame = self.unscaled(at)
        right = ellipsoid(frame, (-26, 6, -36), (21, 17, 15))
        left = ellipsoid(frame, (-18, 10, 40), (21, 17, 15))
        return np.asarray(np.minimum(right, left) * self.scale, dtype=np.float32)

    def mediastinum_wall(self, at: Coordinates) -> Floats:
        """What lies between the lungs apart from the great vessels, which have surfaces of their own."""
        z, y, x = self.unscaled(at)
        half = 5 + self.mediastinum * np.exp(-(((y - 6) / 52) ** 4)) * (1 - 0.25 * np.clip(z / 90, 0, 1))
        slab = (np.abs(x - 2) - half) * np.float32(self.scale * 0.9)
        wall = np.minimum(slab, self.heart(at) - 2 * self.scale)
        wall = np.minimum(wall, self.hila(at))
        return np.asarray(np.minimum(wall, self.spine(at) - 2.5 * self.scale), dtype=np.float32)

    def lungs(self, at: Coordinates) -> Floats:
        """Both lungs, their vessels and bronchi included, before the great vessels are cut out."""
        inside = np.maximum(self.rib_cage(at), -self.mediastinum_wall(at))
        return np.asarray(np.maximum(inside, -self.diaphragm_height(at)))

    def lobe(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index into `LOBES` for points (n, 3) in mm, by the side and the planes of the fissures."""
        z, y, x = self.unscaled(tuple(points.T))
        below = z < 35 - 0.97 * (80 - y)
        middle = (z < -32) & (y < 25)
        right = np.where(below, 2, np.where(middle, 1, 0))
        return np.asarray(np.where(x < 0, right, np.where(below, 4, 3)))
