"""What readers take for emboli: unmixed contrast, nodes, plugged bronchi, veins without contrast, atelectasis.

They are as large as emboli are: volumes are drawn from the same distribution where the kind has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.anatomy import Thorax
from pe_nnunet.phantom.contrast import MUSCLE_HU, Contrast
from pe_nnunet.phantom.settings import PhantomSettings, embolus_volumes
from pe_nnunet.phantom.trees import Trees
from pe_nnunet.phantom.tubes import Tubes

Kind = Literal[
    "unmixed contrast",
    "late mixing",
    "lymph node",
    "thickened sheath",
    "plugged bronchus",
    "unopacified vein",
    "atelectasis",
    "caval streak",
]
Points = NDArray[np.float64]
SHARES: dict[Kind, float] = {
    "lymph node": 0.38,
    "unmixed contrast": 0.2,
    "thickened sheath": 0.16,
    "plugged bronchus": 0.13,
    "atelectasis": 0.13,
}
MAX_NODE_MM3 = 9000.0
DARK_SPOTS = (
    (-76, -20, -24), (-56, -22, -22), (-66, -52, 0), (-72, -60, 22), (-74, -20, 32), (-72, -30, 46), (-43, 9, 14),
    (-43, 8, -10), (12, -24, -30), (38, -26, -28),
)  # fmt: skip
"""Where blood mixes late or muscle stands in it: right atrium and ventricle, left ventricle and atrium, upper cava;
(z, y, x) in mm at the reference width, as below."""
NODE_STATIONS = (
    (22, -6, -20), (42, -10, -16), (4, -8, 20), (-2, -14, 30), (-18, 22, 2), (-30, 26, -6), (-30, 4, -38),
    (-44, 4, -44), (-20, 4, 44), (-38, 12, 44), (20, -42, 14), (-22, -40, -12),
)  # fmt: skip
"""Paratracheal, aortopulmonary window, under the carina, at the hila between artery and vein, before the aorta."""


@dataclass(frozen=True)
class Lookalike:
    """One finding that is no embolus.

    Attributes:
        kind: What it is.
        centre_mm: Where, (z, y, x).
        size_mm: Half its extent (z, y, x) before it is turned; of a sheath, half its length and its thickness.
        level: Its attenuation in HU; for unmixed contrast and late mixing the share of contrast that its centre lacks.
        pieces: The pieces of the tree that it concerns.
        turn_deg: Turns about z and y of what is longer or thinner in one direction.
    """

    kind: Kind
    centre_mm: tuple[float, float, float]
    size_mm: tuple[float, float, float]
    level: float
    pieces: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    turn_deg: tuple[float, float] = (0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON types, in LPS (x, y, z)."""
        return {
            "kind": self.kind,
            "centre_lps_mm": [round(v, 1) for v in self.centre_mm[::-1]],
            "size_mm": [round(v, 1) for v in self.size_mm[::-1]],
            "level": round(self.level, 2),
        }


def draw_lookalikes(
    trees: Trees,
    great: Tubes,
    thorax: Thorax,
    contrast: Contrast,
    settings: PhantomSettings,
    keep_clear: NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
) -> list[Lookalike]:
    """Draw `count` findings; on top nodes at their stations, late mixing, and veins without contrast in some scans.

    Args:
        trees: Arteries, veins and bronchi.
        great: Aorta and caval veins.
        thorax: The person.
        contrast: The scan's levels of contrast.
        settings: For the sizes, and how often veins lack contrast.
        keep_clear: Per piece of the arteries, whether an embolus is there or close by.
        count: How many.
        rng: Source of randomness.

    Returns:
        The findings, caval streaks excepted.
    """
    found: list[Lookalike] = []
    neighbours = np.concatenate([trees.veins.middle, great.middle])
    kinds = rng.choice(np.array(list(SHARES), dtype=object), size=count, p=list(SHARES.values()))
    volumes = embolus_volumes(rng, count, min_mm3=max(settings.min_embolus_mm3, 100.0))
    for kind, volume in zip(kinds, volumes, strict=True):
        size = float(min(volume, MAX_NODE_MM3))
        finding: Lookalike | None = None
        if kind == "unmixed contrast":
            finding = _unmixed(trees.arteries, keep_clear, contrast.artery, rng, thorax.scale)
        elif kind == "plugged bronchus":
            finding = _plug(trees.bronchi, rng)
        elif kind == "thickened sheath":
            finding = _sheath(trees.arteries, keep_clear, size, rng)
        elif kind == "atelectasis":
            finding = _plate(trees.arteries, thorax, size, rng)
        found.append(finding or _node(trees.arteries, keep_clear, neighbours, size, rng))
    spots = rng.permutation(np.asarray(DARK_SPOTS, float))[: int(rng.integers(4, 9))]
    found += [_late_mixing(landmark, thorax, contrast.artery, rng) for landmark in spots]
    stations = rng.permutation(np.asarray(NODE_STATIONS, float))[: int(rng.integers(4, 10))]
    found += [_station(landmark, thorax, rng) for landmark in stations]
    if rng.random() < settings.unopacified_vein_fraction:
        found += [_unopacified(trees.veins, rng) for _ in range(int(rng.integers(1, 4)))]
    return found


def _pick(rng: np.random.Generator, weight: Points) -> int:
    """An index drawn by weight; any, where all weights are zero."""
    weight = weight if weight.any() else np.ones(len(weight))
    return int(rng.choice(len(weight), p=weight / weight.sum()))


def _node(
    arteries: Tubes, keep_clear: NDArray[np.bool_], neighbours: Points, volume_mm3: float, rng: np.random.Generator
) -> Lookalike:
    """A node along an artery, outside its wall, mostly on the side of the next vessel, as at the hila."""
    k = _pick(rng, ((arteries.generation <= 6) & ~keep_clear) * arteries.length)
    slim = float(rng.uniform(0.6, 1.0))
    size = (volume_mm3 * 3 / (4 * np.pi)) ** (1 / 3) * np.array([slim, slim, slim**-2])
    side = rng.normal(size=3)
    if rng.random() < 0.7:
        gap = neighbours - arteries.middle[k]
        nearest = gap[np.argmin(np.where((gap**2).sum(axis=1) > arteries.radius[k] ** 2, (gap**2).sum(axis=1), np.inf))]
        side = nearest / np.linalg.norm(nearest) + 0.35 * side
    side -= (side @ arteries.direction[k]) * arteries.direction[k]
    side /= np.linalg.norm(side)
    centre = arteries.middle[k] + side * (arteries.radius[k] + 0.9 * size[0])
    up, back, left = arteries.direction[k]
    along = (float(np.degrees(np.arctan2(back, left))), float(np.degrees(np.arcsin(np.clip(up, -1, 1)))))
    return Lookalike("lymph node", _point(centre), _point(size), float(rng.uniform(30, 90)), turn_deg=along)


def _station(landmark: Points, thorax: Thorax, rng: np.random.Generator) -> Lookalike:
    """A node of the mediastinum or the hila, in the fat between the great vessels."""
    centre = (landmark + rng.normal(0, 2.5, 3)) * thorax.scale
    size = (float(np.exp(rng.uniform(np.log(600), np.log(MAX_NODE_MM3)))) * 3 / (4 * np.pi)) ** (1 / 3) * rng.uniform(
        0.75, 1.33, 3
    )
    return Lookalike("lymph node", _point(centre), _point(size), float(rng.uniform(30, 90)))


def _sheath(
    arteries: Tubes, keep_clear: NDArray[np.bool_], volume_mm3: float, rng: np.random.Generator
) -> Lookalike | None:
    """Tissue round an artery near the hilum, as in interstitial oedema: a dark ring outside a bright lumen."""
    free = (arteries.generation >= 2) & (arteries.generation <= 6) & ~keep_clear
    if not free.any():
        return None
    k = _pick(rng, free * arteries.length)
    radius, thick = float(arteries.radius[k]), float(rng.uniform(2.5, 5))
    half_length = float(np.clip(volume_mm3 / (np.pi * thick * (2 * radius + thick)) / 2, 4, 22))
    at_start, at_end = arteries.distances_from(k, half_length + 12)
    # where there is clot a sheath of the same attenuation would hide its edge
    pieces = np.flatnonzero(np.isfinite(np.minimum(at_start, at_end)) & ~keep_clear)
    size = (half_length, thick, thick)
    return Lookalike("thickened sheath", _point(arteries.middle[k]), size, float(rng.uniform(20, 80)), pieces)


def _plate(arteries: Tubes, thorax: Thorax, volume_mm3: float, rng: np.random.Generator) -> Lookalike:
    """A plate of collapsed lung beside a vessel of the lower half."""
    deep = (arteries.generation >= 4) & (arteries.middle[:, 0] < -20 * thorax.scale)
    k = _pick(rng, deep * arteries.length)
    thin = float(rng.uniform(2.2, 4.5))
    across = np.sqrt(volume_mm3 * 3 / (4 * np.pi) / thin)
    size = (thin, float(across * 1.3), float(across / 1.3))
    turn = (float(rng.uniform(0, 180)), float(rng.uniform(-35, 35)))
    return Lookalike("atelectasis", _point(arteries.middle[k]), size, float(rng.uniform(30, 90)), turn_deg=turn)


def _unmixed(
    arteries: Tubes, keep_clear: NDArray[np.bool_], artery_hu: float, rng: np.random.Generator, scale: float
) -> Lookalike | None:
    """A stretch of artery that the contrast has not filled, fading in and out along the vessel."""
    free = ~keep_clear & (arteries.radius > 1.6 * scale) & (arteries.generation >= 1)
    length = float(rng.uniform(8, 17)) * scale
    for _ in range(6):
        if not free.any():
            return None
        k = _pick(rng, free * arteries.length)
        at_start, at_end = arteries.distances_from(k, 1.8 * length)
        pieces = np.flatnonzero(np.isfinite(np.minimum(at_start, at_end)))
        if not keep_clear[pieces].any():
            break
        free[k] = False
    else:
        return None
    return Lookalike("unmixed contrast", _point(arteries.middle[k]), (length,) * 3, _missing(artery_hu, rng), pieces)


def _late_mixing(landmark: Points, thorax: Thorax, artery_hu: float, rng: np.random.Generator) -> Lookalike:
    """A dark spot in a chamber of the heart or the upper cava."""
    centre = (landmark + rng.normal(0, 4, 3)) * thorax.scale
    length = float(rng.uniform(10, 24)) * thorax.scale
    return Lookalike("late mixing", _point(centre), (length,) * 3, _missing(artery_hu, rng))


def _missing(artery_hu: float, rng: np.random.Generator) -> float:
    """Share of contrast that is missing where blood is left at 55 to 120 HU."""
    return max(1 - (float(rng.uniform(55, 120)) - MUSCLE_HU) / (artery_hu - MUSCLE_HU), 0.4)


def _plug(bronchi: Tubes, rng: np.random.Generator) -> Lookalike:
    """A bronchus and its branches filled with mucus."""
    k = _pick(rng, ((bronchi.generation >= 3) & (bronchi.generation <= 6)) * bronchi.length)
    return _along("plugged bronchus", bronchi, _below(bronchi, k), float(rng.uniform(10, 60)))


def _unopacified(veins: Tubes, rng: np.random.Generator) -> Lookalike:
    """A vein and all that drains into it, filled by the blood of a lung that the contrast has not yet passed."""
    k = _pick(rng, ((veins.generation >= 2) & (veins.generation <= 5)) * veins.length)
    return _along("unopacified vein", veins, _below(veins, k), float(rng.uniform(40, 120)))


def _below(tubes: Tubes, piece: int) -> NDArray[np.intp]:
    """The piece and all that branches from it."""
    below = np.zeros(len(tubes) + 1, bool)
    below[piece] = True
    for k in range(piece + 1, len(tubes)):  # parents come before their children
        below[k] = below[tubes.parent[k]]
    return np.flatnonzero(below)


def _along(kind: Kind, tubes: Tubes, pieces: NDArray[np.intp], level: float) -> Lookalike:
    ends = np.concatenate([tubes.start[pieces], tubes.end[pieces]])
    low, high = ends.min(axis=0), ends.max(axis=0)
    return Lookalike(kind, _point((low + high) / 2), _point((high - low) / 2), level, pieces)


def _point(values: Points) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return z, y, x
