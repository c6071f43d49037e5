"""Trees that fill a lobe, as the vessels and bronchi of a lung do.

A branch runs part of the way towards the centre of the tissue that it supplies; the tissue is then parted in two and
each part gets a branch of its own. Radii follow from the amount of tissue supplied.

Source: volume-filling branching after Tawhai, Pullan & Hunter, Annals of Biomedical Engineering 28 (2000), with points
in place of their host mesh; radii by Murray's law (1926), with an exponent of 2.7 in place of 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.anatomy import LOBES, Thorax
from pe_nnunet.phantom.great_vessels import (
    CENTRAL_BRONCHI,
    HILAR_ARTERIES,
    HILAR_VEINS,
    PULMONARY_TRUNK,
    TRACHEA,
    lay,
    points_and_radii,
)
from pe_nnunet.phantom.tubes import Tubes, TubesBuilder, smooth_path

Points = NDArray[np.float64]
MURRAY_EXPONENT = 2.7


@dataclass(frozen=True)
class Trees:
    """The three trees of the lungs, of one person."""

    arteries: Tubes
    veins: Tubes
    bronchi: Tubes


def grow_trees(thorax: Thorax, rng: np.random.Generator, *, tips_per_lung: int) -> Trees:
    """Arteries from the right ventricle, veins from the left atrium, bronchi from the larynx, to the tips in each lobe.

    Bronchi and arteries supply the same tissue and so run side by side; veins drain the tissue between.
    """
    supplied, drained = (_tissue(thorax, rng, 2 * tips_per_lung) for _ in range(2))
    # Arteries and bronchi part the tissue by the same draws.
    seeds = {lobe: int(rng.integers(2**31)) for lobe in LOBES}
    return Trees(
        arteries=_arteries(thorax, supplied, seeds, rng),
        veins=_veins(thorax, drained, rng),
        bronchi=_bronchi(thorax, supplied, seeds, rng),
    )


def _arteries(thorax: Thorax, tissue: dict[str, Points], seeds: dict[str, int], rng: np.random.Generator) -> Tubes:
    tree = TubesBuilder()
    points, radii = points_and_radii(PULMONARY_TRUNK, thorax.scale)
    widen = float(rng.uniform(0.92, 1.12))  # wider where the pressure is high
    trunk = tree.add(*smooth_path(points, radii * widen, 5 * thorax.scale))
    ends = lay(tree, HILAR_ARTERIES, {"trunk": trunk}, thorax, rng, widen=widen)
    for lobe in LOBES:
        _fill(tree, ends[lobe], tissue[lobe], np.random.default_rng(seeds[lobe]), thorax.scale)
    return tree.build()


def _veins(thorax: Thorax, tissue: dict[str, Points], rng: np.random.Generator) -> Tubes:
    tree = TubesBuilder()
    ends: dict[str, int] = {}
    for name, (leaves, course) in HILAR_VEINS.items():
        roots = ends
        if leaves == "atrium":  # four openings, each the root of a tree of its own
            opening, radii = points_and_radii(course[:1], thorax.scale)
            inside = 0.5 * opening + 0.5 * np.array([[-44.0, 9.0, 3.0]]) * thorax.scale
            roots = {"atrium": tree.add(np.vstack([inside, opening]), [radii[0], radii[0]])}
        ends[name] = lay(tree, {name: (leaves, course)}, roots, thorax, rng)[name]
    for lobe in LOBES:
        _fill(tree, ends[lobe], tissue[lobe], rng, thorax.scale)
    return tree.build()


def _bronchi(thorax: Thorax, tissue: dict[str, Points], seeds: dict[str, int], rng: np.random.Generator) -> Tubes:
    tree = TubesBuilder()
    points, radii = points_and_radii(TRACHEA, thorax.scale)
    carina = tree.add(*smooth_path(points, radii, 6 * thorax.scale))
    ends = lay(tree, CENTRAL_BRONCHI, {"carina": carina}, thorax, rng)
    for lobe in LOBES:
        few = tissue[lobe][:: max(1, len(tissue[lobe]) // 24)]
        _fill(tree, ends[lobe], few, np.random.default_rng(seeds[lobe]), thorax.scale, stop_radius_mm=0.9)
    return tree.build()


def _tissue(thorax: Thorax, rng: np.random.Generator, count: int) -> dict[str, Points]:
    """Points (n, 3) in mm spread through each lobe, 4 mm and more inside the pleura."""
    low, high = (np.asarray(c) for c in thorax.extent_mm())
    points = rng.uniform(low, high, (count * 12, 3))
    deep = thorax.lungs(tuple(points.T.astype(np.float32))) < -4 * thorax.scale
    points = points[deep][:count]
    lobes = thorax.lobe(points)
    return {name: points[lobes == k] for k, name in enumerate(LOBES)}


def _fill(
    builder: TubesBuilder,
    root: int,
    points: Points,
    rng: np.random.Generator,
    scale: float,
    stop_radius_mm: float = 0.0,
) -> None:
    """Grow a tree from the piece `root` to all points."""
    whole, radius = max(len(points), 1), builder.radius_of(root)
    waiting = [(root, points, 3)]
    while waiting:
        parent, tissue, generation = waiting.pop()
        start, heading = builder.end_of(parent)
        width = radius * (len(tissue) / whole) ** (1 / MURRAY_EXPONENT)
        if len(tissue) == 0 or width < stop_radius_mm * scale:
            continue
        centre = tissue.mean(axis=0)
        way = centre - start
        reach = float(np.linalg.norm(way))
        if reach < 1.5 * scale:
            continue
        part = 0.9 if len(tissue) == 1 else rng.uniform(0.38, 0.52)
        end = start + part * way + rng.normal(0, 0.05 * reach, 3)
        bend = start + heading * 0.3 * part * reach  # leaves its parent in the parent's direction, then turns
        count = int(np.clip(round(part * reach / (4 * scale)), 2, 6))
        t = np.linspace(0, 1, count + 1)[:, None]
        path = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        last = builder.add(path, np.linspace(width, 0.9 * width, count + 1), parent, generation)
        if len(tissue) == 1:
            continue
        first = _side(tissue, way / reach, centre, rng)
        waiting += [(last, tissue[first], generation + 1), (last, tissue[~first], generation + 1)]


def _side(tissue: Points, heading: Points, centre: Points, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Part the tissue by a plane that contains the branch, across the longest extent beside it."""
    offset = tissue - centre
    beside = offset - np.outer(offset @ heading, heading)
    _, _, axes = np.linalg.svd(beside, full_matrices=False)
    normal = axes[0] + rng.normal(0, 0.15, 3)
    side = offset @ normal
    return np.asarray(
        side > np.quantile(side, rng.uniform(0.35, 0.65)) if len(tissue) > 3 else side > np.median(side) - 1e-9
    )
