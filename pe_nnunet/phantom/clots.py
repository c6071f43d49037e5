"""Emboli: clot of a wanted volume in the lumen of an artery, as surfaces that are exact between the voxels.

An embolus spreads from a point of the tree, along the vessel and into its branches, until it has its volume. Within the
lumen it is central (a rim of contrast all round), mural (on one side) or occlusive (wall to wall).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.phantom.grid import Floats, Grid, block_mean, occupancy
from pe_nnunet.phantom.settings import PhantomSettings, embolus_volumes
from pe_nnunet.phantom.tubes import TubeField, Tubes
from pe_nnunet.voxels import Slices, label_components

Kind = Literal["central", "mural", "occlusive"]

KINDS: tuple[Kind, ...] = ("central", "mural", "occlusive")
KIND_SHARES = (0.4, 0.25, 0.35)
GAP_VOXELS = 2
"""Emboli keep this distance, so that each is one 26-connected component of the truth."""
TRIES = 1000  # for a first embolus, where none of those that were drawn fits


@dataclass(frozen=True)
class Embolus:
    """One embolus as it was made; `volume_mm3` is what its truth holds on the scan's grid.

    `obstruction` is the share of the lumen's cross-section that it takes up away from its ends, and `pieces` how much
    of it, in mm3, lies in which pieces of the arterial tree.
    """

    kind: Kind
    hu: float
    volume_mm3: float
    vessel_radius_mm: float
    generation: int
    centre_mm: tuple[float, float, float]  # z, y, x
    obstruction: float
    pieces: Mapping[int, float]

    def to_dict(self, label: int) -> dict[str, Any]:
        """The embolus as JSON types, its centre as LPS (x, y, z)."""
        return {
            "id": label,
            "kind": self.kind,
            "hu": round(self.hu, 1),
            "volume_mm3": round(self.volume_mm3, 1),
            "vessel_radius_mm": round(self.vessel_radius_mm, 2),
            "generation": self.generation,
            "centre_lps_mm": [round(v, 1) for v in self.centre_mm[::-1]],
            "obstruction": round(self.obstruction, 3),
        }


@dataclass
class Clot:
    """All emboli of a scan.

    Attributes:
        ids: Truth on the scan's own grid, 1..n as `emboli` is ordered, 0 outside.
        share: Share of each voxel of the rendering grid that is clot.
        hu: Attenuation of that clot.
        emboli: What they are.
    """

    ids: NDArray[np.uint16]
    share: Floats
    hu: Floats
    emboli: list[Embolus] = field(default_factory=list)


def place_emboli(
    arteries: Tubes,
    lumen: TubeField,
    grid: Grid,
    factors: tuple[int, int, int],
    settings: PhantomSettings,
    rng: np.random.Generator,
) -> Clot:
    """Put emboli of realistic sizes into the arteries.

    Args:
        arteries: The arterial tree.
        lumen: The same on the rendering grid.
        grid: The rendering grid.
        factors: Voxels of the rendering grid in one of the scan's, per axis.
        settings: Number, size and attenuation of the emboli.
        rng: Source of randomness.

    Returns:
        The clot; at least one embolus.

    Raises:
        ConfigurationError: PE-PHA-001 if the lumen seems to hold none of the wanted size.
    """
    small = tuple(n // f for n, f in zip(grid.shape, factors, strict=True))
    clot = Clot(np.zeros(small, np.uint16), np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32))
    count = int(rng.integers(settings.emboli_per_scan[0], settings.emboli_per_scan[1] + 1))
    volumes = np.sort(embolus_volumes(rng, count, min_mm3=settings.min_embolus_mm3))[::-1]
    for volume in volumes:
        for _ in range(12):
            if _try_one(clot, arteries, lumen, grid, factors, settings, float(volume), rng):
                break
    for _ in range(TRIES):  # a positive scan shows at least one, however small its draws were
        if clot.emboli:
            return clot
        volume = float(embolus_volumes(rng, 1, min_mm3=max(200.0, settings.min_embolus_mm3))[0])
        _try_one(clot, arteries, lumen, grid, factors, settings, volume, rng)
    if not clot.emboli:
        least = f"{settings.min_embolus_mm3:g} mm3 and {settings.min_embolus_voxels} voxels"
        text = f"no embolus of at least {least} fits into the arteries in {TRIES} tries"
        raise ConfigurationError("PE-PHA-001", text, "let min_embolus_mm3 or min_embolus_voxels be smaller")
    return clot


def _try_one(
    clot: Clot,
    arteries: Tubes,
    lumen: TubeField,
    grid: Grid,
    factors: tuple[int, int, int],
    settings: PhantomSettings,
    volume_mm3: float,
    rng: np.random.Generator,
) -> bool:
    """Grow one embolus where it fits; False, with nothing changed, if it does not get half its volume."""
    seed, kind, width = _choose_site(arteries, volume_mm3, rng)
    radius = float(arteries.radius[seed])
    reach = float(np.clip(14 * radius, 15, 150))
    at_start, at_end = arteries.distances_from(seed, reach)
    near = np.flatnonzero(np.isfinite(np.minimum(at_start, at_end)))
    corners = np.concatenate([arteries.start[near], arteries.end[near]])
    pad = 1.2 * float(arteries.start_radius[near].max()) + 2 * grid.edge_mm
    box = grid.box_around(corners.min(axis=0) - pad, corners.max(axis=0) + pad)
    if box is None:
        return False
    box = _on_blocks(box, factors)
    piece = lumen.piece[box]
    member = np.zeros(len(arteries) + 1, bool)
    member[near] = True
    inside = np.nonzero(member[piece] & (lumen.distance[box] < 1.5 * grid.edge_mm))
    surface, way = _shape(arteries, lumen, grid, box, inside, (at_start, at_end), kind, width, rng)

    distance = np.full(piece.shape, np.float32(1e3))
    taken = clot.share[box][inside] > 0
    core = surface < 0
    wanted = round(volume_mm3 / grid.voxel_mm3)
    order = np.sort(way[core & ~taken])
    if order.size == 0:
        return False
    limit = min(float(order[min(wanted, order.size) - 1]), reach - 2.0)
    if taken.any():
        limit = min(limit, float(way[taken].min()) - (GAP_VOXELS + 1) * grid.edge_mm * max(factors))
    distance[inside] = np.maximum(surface, way - np.float32(limit))
    share = np.minimum(occupancy(distance, grid.edge_mm), lumen.share[box])
    truth = _truth(share, factors)
    around = tuple(slice(s.start // f, s.stop // f) for s, f in zip(box, factors, strict=True))
    others = ndi.binary_dilation(clot.ids[around] > 0, np.ones((3, 3, 3), bool), GAP_VOXELS)
    scan_voxel_mm3 = grid.voxel_mm3 * float(np.prod(factors))
    volume = float(truth.sum()) * scan_voxel_mm3
    enough = max(settings.min_embolus_mm3, settings.min_embolus_voxels * scan_voxel_mm3, 0.5 * volume_mm3)
    if volume < enough or (truth & others).any():
        return False

    # Clot outside its truth's neighbourhood (bits cut off by the grid) would be unlabelled: leave it out.
    kept = ndi.binary_dilation(truth, np.ones((3, 3, 3), bool))
    share *= np.repeat(np.repeat(np.repeat(kept, factors[0], 0), factors[1], 1), factors[2], 2)
    hu = float(rng.uniform(*settings.embolus_hu))
    clot.hu[box][share > 0] = hu
    np.maximum(clot.share[box], share, out=clot.share[box])
    clot.ids[around][truth] = len(clot.emboli) + 1
    centre = np.argwhere(truth).mean(axis=0) + [a.start for a in around]
    scan = np.asarray(grid.spacing_mm) * factors
    corner = np.asarray(grid.origin_mm) - np.asarray(grid.spacing_mm) / 2
    held = (share > 0) & (piece >= 0)
    in_piece = np.bincount(piece[held], share[held]) * grid.voxel_mm3
    clot.emboli.append(
        Embolus(
            kind,
            hu,
            volume,
            radius,
            int(arteries.generation[seed]),
            tuple((corner + (centre + 0.5) * scan).tolist()),
            obstructed_share(kind, width),
            {int(k): float(in_piece[k]) for k in np.flatnonzero(in_piece)},
        )
    )
    return True


def obstructed_share(kind: Kind, width: float) -> float:
    """Share of a round lumen's cross-section that an embolus takes up.

    Args:
        kind: Central ones are round, mural ones lie beyond a chord.
        width: In radii of the lumen: of a central one its own radius, of a mural one the chord's distance to the axis.

    Example:
        >>> obstructed_share("central", 0.5), obstructed_share("mural", 0.0), obstructed_share("occlusive", 1.0)
        (0.25, 0.5, 1.0)
    """
    if kind == "central":
        return width**2
    return 1.0 if kind == "occlusive" else (math.acos(width) - width * math.sqrt(1 - width**2)) / math.pi


def _choose_site(arteries: Tubes, volume_mm3: float, rng: np.random.Generator) -> tuple[int, Kind, float]:
    """A piece of the tree into which the volume fits at a plausible length, the kind, and its width in the lumen."""
    kind = KINDS[int(rng.choice(len(KINDS), p=KIND_SHARES))]
    slenderness = float(rng.uniform(2.5, 7))  # length over diameter
    fitting = (volume_mm3 / (2 * np.pi * slenderness * {"central": 0.4, "mural": 0.5, "occlusive": 1.0}[kind])) ** (
        1 / 3
    )
    off = np.log(np.maximum(arteries.radius, 1e-3) / max(fitting, 0.8))
    # weight by length, and evenly over radii: there are far more thin pieces than wide ones
    weight = np.exp(-0.5 * (off / 0.18) ** 2) * arteries.length
    if weight.sum() < 1e-9:
        weight = np.exp(-0.5 * (off / 1.0) ** 2)
    seed = int(rng.choice(len(arteries), p=weight / weight.sum()))
    if kind == "occlusive" and arteries.radius[seed] > 8:
        kind = "central"  # nobody is scanned with a blocked main artery
    width = {"central": rng.uniform(0.5, 0.75), "mural": rng.uniform(-0.3, 0.2), "occlusive": 1.0}[kind]
    return seed, kind, float(width)


def _shape(
    arteries: Tubes,
    lumen: TubeField,
    grid: Grid,
    box: Slices,
    inside: tuple[NDArray[np.intp], ...],
    nodes: tuple[NDArray[np.float64], NDArray[np.float64]],
    kind: Kind,
    width: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Per voxel of `inside`: signed distance to the embolus as if endless, and the way to it along the tree, in mm."""
    piece = lumen.piece[box][inside]
    start = arteries.start[piece]
    z, y, x = grid.axes(box)
    place = np.stack([z.ravel()[inside[0]], y.ravel()[inside[1]], x.ravel()[inside[2]]], axis=1).astype(float)
    heading, length = arteries.direction[piece], arteries.length[piece]
    along = np.clip(((place - start) * heading).sum(axis=1), 0, length)
    offset = place - start - along[:, None] * heading
    away = np.linalg.norm(offset, axis=1)
    radius = (
        arteries.start_radius[piece]
        + along / np.maximum(length, 1e-9) * (arteries.end_radius - arteries.start_radius)[piece]
    )
    surface = away - radius
    if kind == "central":
        surface = away - width * radius
    elif kind == "mural":
        towards = rng.normal(size=3)
        towards /= np.linalg.norm(towards)
        # the wall's side is the part of `towards` across the vessel, so that the clot stays on it round bends
        across = towards - (heading @ towards)[:, None] * heading
        across /= np.maximum(np.linalg.norm(across, axis=1), 0.2)[:, None]
        surface = np.maximum(surface, width * radius - (offset * across).sum(axis=1))
    way = np.minimum(nodes[0][piece] + along, nodes[1][piece] + length - along)
    way = way + 0.6 * away**2 / np.maximum(radius, 0.5)  # rounds the ends
    return surface.astype(np.float32), way.astype(np.float32)


def _truth(share: Floats, factors: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The scan's voxels of which half or more is clot, the largest connected piece of them."""
    half = (share if factors == (1, 1, 1) else block_mean(share, factors)) >= 0.5
    if not half.any():
        return half
    pieces, _ = label_components(half)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


def _on_blocks(box: Slices, factors: tuple[int, int, int]) -> Slices:
    """The box, grown to whole voxels of the scan."""
    z, y, x = (slice(s.start // f * f, -(-s.stop // f) * f) for s, f in zip(box, factors, strict=True))
    return z, y, x
