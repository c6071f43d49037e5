"""Everything that a scan shows, before it is turned into Hounsfield units."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.anatomy import Thorax
from pe_nnunet.phantom.clots import Clot, place_emboli
from pe_nnunet.phantom.contrast import Contrast
from pe_nnunet.phantom.great_vessels import (
    AORTA,
    AZYGOS,
    INFERIOR_CAVA,
    LEFT_BRACHIOCEPHALIC,
    OESOPHAGUS,
    SUPERIOR_CAVA,
    single,
)
from pe_nnunet.phantom.grid import Floats, Grid, occupancy
from pe_nnunet.phantom.lookalikes import Lookalike, draw_lookalikes
from pe_nnunet.phantom.settings import PhantomSettings
from pe_nnunet.phantom.trees import Trees, grow_trees
from pe_nnunet.phantom.tubes import FAR, TubeField, Tubes, rasterise

TIPS_PER_LUNG = 320


@dataclass(frozen=True)
class Scene:
    """One scan's contents on the rendering grid.

    Attributes:
        settings: The cohort's settings.
        grid: The rendering grid, which divides the scan's voxels by `factors`.
        factors: Rendering voxels in a scan voxel (z, y, x).
        thorax: The person.
        contrast: Levels of contrast.
        trees: Arteries, veins and bronchi.
        lungs: Signed distance to the lungs before great vessels and airways are cut out.
        artery: The arteries on the grid.
        vein: The veins, kept off the arteries.
        bronchus: The airways, kept off both.
        great: Aorta, caval and azygos veins and oesophagus, kept off the arteries and airways.
        great_tubes: What `great` was drawn from, a branch each.
        clot: Emboli and their truth.
        lookalikes: What is no embolus.
    """

    settings: PhantomSettings
    grid: Grid
    factors: tuple[int, int, int]
    thorax: Thorax
    contrast: Contrast
    trees: Trees
    lungs: Floats
    artery: TubeField
    vein: TubeField
    bronchus: TubeField
    great: TubeField
    great_tubes: Tubes
    clot: Clot
    lookalikes: list[Lookalike]


def stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """A source of randomness for each case and purpose, so that one draw more in one place moves no other."""
    return np.random.default_rng(np.random.SeedSequence([seed, index, zlib.crc32(purpose.encode())]))


def compose(settings: PhantomSettings, seed: int, index: int) -> Scene:
    """Draw a person, a bolus, emboli and look-alikes."""
    thorax = Thorax.draw(stream(seed, index, "thorax"), settings)
    contrast = Contrast.draw(stream(seed, index, "contrast"), settings)
    trees = grow_trees(thorax, stream(seed, index, "trees"), tips_per_lung=TIPS_PER_LUNG)
    scan_grid = Grid.covering(*thorax.extent_mm(), settings.spacing_mm)
    factors = rendering_factors(settings.spacing_mm)
    grid = scan_grid.finer(factors)

    great_tubes = single(thorax, AORTA, SUPERIOR_CAVA, LEFT_BRACHIOCEPHALIC, AZYGOS, INFERIOR_CAVA, OESOPHAGUS)
    lungs = thorax.lungs(grid.axes())
    great = rasterise(great_tubes, grid)
    artery = _in_lungs(rasterise(trees.arteries, grid), trees.arteries, lungs, great, grid)
    vein = _in_lungs(rasterise(trees.veins, grid), trees.veins, lungs, great, grid)
    vein = _kept_off(vein, [artery], 0.6, grid)
    bronchus = _in_lungs(rasterise(trees.bronchi, grid), trees.bronchi, lungs, great, grid)
    bronchus = _kept_off(bronchus, [artery, vein], 0.8, grid)
    great = _kept_off(great, [artery, bronchus], 1.0, grid)

    if settings.is_negative(seed, index):
        shape = tuple(n // f for n, f in zip(grid.shape, factors, strict=True))
        zero = np.zeros(grid.shape, np.float32)
        clot = Clot(np.zeros(shape, np.uint16), zero, zero)
    else:
        clot = place_emboli(trees.arteries, artery, grid, factors, settings, stream(seed, index, "emboli"))

    rng = stream(seed, index, "look-alikes")
    clear = _near_clot(trees.arteries, artery, clot)
    count = 2 * len(clot.emboli) + int(rng.integers(8, 15))
    lookalikes = draw_lookalikes(trees, great_tubes, thorax, contrast, settings, clear, count, rng)
    return Scene(
        settings,
        grid,
        factors,
        thorax,
        contrast,
        trees,
        lungs,
        artery,
        vein,
        bronchus,
        great,
        great_tubes,
        clot,
        lookalikes,
    )


def rendering_factors(spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Into how many parts each axis is divided so that the rendering voxels are about cubes."""
    finest = min(spacing_mm)
    z, y, x = (max(1, round(s / max(finest, 0.6))) for s in spacing_mm)
    return z, y, x


def _in_lungs(field: TubeField, tubes: Tubes, lungs: Floats, great: TubeField, grid: Grid) -> TubeField:
    """The tree without what its smaller branches would cross of heart, great vessels and chest wall."""
    small = np.append(tubes.generation >= 4, False)[field.piece]
    outside = np.where(small, np.maximum(lungs - 4, 1 - great.distance), -FAR)
    share = np.minimum(field.share, occupancy(outside, grid.edge_mm))
    return TubeField(np.maximum(field.distance, outside), share, field.piece)


def _kept_off(tubes: TubeField, others: list[TubeField], wall_mm: float, grid: Grid) -> TubeField:
    """The tubes without what the others and a wall around them take up."""
    room = np.ones(grid.shape, np.float32)
    distance = tubes.distance
    for other in others:
        walled = np.float32(wall_mm) - other.distance
        distance = np.maximum(distance, walled)
        np.minimum(room, np.clip(0.5 - walled / np.float32(grid.edge_mm), 0, 1), out=room)
    return TubeField(distance, np.minimum(tubes.share, room), tubes.piece)


def _near_clot(arteries: Tubes, lumen: TubeField, clot: Clot) -> NDArray[np.bool_]:
    """Per piece of the arteries, whether clot lies in it or within 12 mm of way."""
    near = np.zeros(len(arteries), bool)
    hit = np.unique(lumen.piece[clot.share > 0])
    near[hit[hit >= 0]] = True
    for piece in np.flatnonzero(near.copy()):
        at_start, at_end = arteries.distances_from(int(piece), 12.0)
        near |= np.isfinite(np.minimum(at_start, at_end))
    return near
