"""What readers take for emboli: poorly mixed contrast, lymph nodes, plugged bronchi, veins without contrast, streaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.tubes import Tubes

Kind = Literal["unmixed contrast", "lymph node", "plugged bronchus", "unopacified vein", "caval streak"]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Lookalike:
    """One finding that is no embolus.

    Attributes:
        kind: What it is.
        centre_mm: Where, (z, y, x).
        size_mm: Half its extent.
        level: Its attenuation in HU; for unmixed contrast the share of contrast that is missing at its centre.
        pieces: The pieces of the tree that it concerns.
    """

    kind: Kind
    centre_mm: tuple[float, float, float]
    size_mm: tuple[float, float, float]
    level: float
    pieces: NDArray[np.intp]

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON types, in LPS (x, y, z)."""
        return {
            "kind": self.kind,
            "centre_lps_mm": [round(v, 1) for v in self.centre_mm[::-1]],
            "size_mm": [round(v, 1) for v in self.size_mm[::-1]],
            "level": round(self.level, 2),
        }


def draw_lookalikes(
    arteries: Tubes,
    veins: Tubes,
    bronchi: Tubes,
    keep_clear: NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
    *,
    unopacified_veins: bool,
    scale: float,
) -> list[Lookalike]:
    """Draw `count` findings.

    Args:
        arteries: The arterial tree.
        veins: The venous tree.
        bronchi: The bronchial tree.
        keep_clear: Per piece of the arteries, whether an embolus is there or close by.
        count: How many; veins without contrast come on top.
        rng: Source of randomness.
        unopacified_veins: Whether this scan has veins that carry little contrast.
        scale: Size of the person.

    Returns:
        The findings, caval streaks excepted.
    """
    found: list[Lookalike] = []
    kinds: list[Kind] = ["lymph node", "unmixed contrast", "plugged bronchus"]
    for kind in rng.choice(np.array(kinds, dtype=object), size=count, p=[0.45, 0.3, 0.25]):
        if kind == "lymph node":
            found.append(_node(arteries, rng, scale))
        elif kind == "unmixed contrast":
            found.append(_unmixed(arteries, keep_clear, rng, scale) or _node(arteries, rng, scale))
        else:
            found.append(_plug(bronchi, rng))
    if unopacified_veins:
        found += [_unopacified(veins, rng) for _ in range(int(rng.integers(1, 4)))]
    return found


def _pick(rng: np.random.Generator, weight: Points) -> int:
    return int(rng.choice(len(weight), p=weight / weight.sum()))


def _node(arteries: Tubes, rng: np.random.Generator, scale: float) -> Lookalike:
    """An oval node that touches a hilar or lobar artery from outside."""
    hilar = (arteries.generation >= 1) & (arteries.generation <= 5)
    k = _pick(rng, hilar * arteries.length)
    size = rng.uniform(3.5, 9) * scale * rng.uniform(0.75, 1.25, 3)
    side = rng.normal(size=3)
    side -= (side @ arteries.direction[k]) * arteries.direction[k]
    side /= np.linalg.norm(side)
    centre = arteries.middle[k] + side * (arteries.radius[k] + 0.85 * float(np.mean(size)))
    return Lookalike("lymph node", _point(centre), _point(size), float(rng.uniform(35, 85)), np.empty(0, np.intp))


def _unmixed(
    arteries: Tubes, keep_clear: NDArray[np.bool_], rng: np.random.Generator, scale: float
) -> Lookalike | None:
    """A stretch of artery that the contrast has not filled, fading in and out along the vessel."""
    free = ~keep_clear & (arteries.radius > 1.6 * scale) & (arteries.generation >= 1)
    if not free.any():
        return None
    k = _pick(rng, free * arteries.length / np.maximum(arteries.radius, 1) ** 0.5)
    length = float(rng.uniform(7, 15)) * scale
    at_start, at_end = arteries.distances_from(k, 3.2 * length)
    pieces = np.flatnonzero(np.isfinite(np.minimum(at_start, at_end)))
    if keep_clear[pieces].any():
        return None
    return Lookalike(
        "unmixed contrast", _point(arteries.middle[k]), (length,) * 3, float(rng.uniform(0.5, 0.85)), pieces
    )


def _plug(bronchi: Tubes, rng: np.random.Generator) -> Lookalike:
    """A bronchus filled with mucus from one division to the next."""
    k = _pick(rng, (bronchi.generation >= 2) * bronchi.length)
    pieces = np.flatnonzero(bronchi.branch == bronchi.branch[k])
    return _along("plugged bronchus", bronchi, pieces, float(rng.uniform(10, 50)))


def _unopacified(veins: Tubes, rng: np.random.Generator) -> Lookalike:
    """A vein and all that drains into it, filled by the blood of a lung that the contrast has not yet passed."""
    k = _pick(rng, ((veins.generation >= 2) & (veins.generation <= 5)) * veins.length)
    below = np.zeros(len(veins), bool)
    below[k] = True
    for piece in range(k + 1, len(veins)):  # parents come before their children
        below[piece] = veins.parent[piece] >= 0 and below[veins.parent[piece]]
    return _along("unopacified vein", veins, np.flatnonzero(below), float(rng.uniform(40, 120)))


def _along(kind: Kind, tubes: Tubes, pieces: NDArray[np.intp], level: float) -> Lookalike:
    ends = np.concatenate([tubes.start[pieces], tubes.end[pieces]])
    low, high = ends.min(axis=0), ends.max(axis=0)
    return Lookalike(kind, _point((low + high) / 2), _point((high - low) / 2), level, pieces)


def _point(values: Points) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return z, y, x
