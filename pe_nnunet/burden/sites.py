"""Where in the tree the emboli lie, and how much of the lumen they take up there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.burden.centre_lines import CentreLines, Floats

MIN_SHARE = 0.1  # of an embolus: with less of it in a branch, it merely touches that
WINDOW_MM = 4.0  # of the centre line, over which a cross-section is averaged
BORDER = 0.5  # of a voxel: how far the outline of clot or lumen may be off


@dataclass(frozen=True)
class Obstruction:
    """Share of the lumen's cross-section that clot takes up, 0 to 1, and the bounds that its outline allows."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Site:
    """An embolus in a branch.

    Attributes:
        embolus: Its id.
        branch: Of the artery tree.
        part: Share of the embolus's volume in that branch.
        obstruction: Where it is greatest in that branch.
    """

    embolus: int
    branch: int
    part: float
    obstruction: Obstruction


def find_sites(
    lines: CentreLines, place: NDArray[np.int64], ids: NDArray[np.uint16], step_mm: float, voxel_mm: float
) -> list[Site]:
    """The branches that each embolus lies in, those that it merely touches left out.

    Args:
        lines: The branches.
        place: For each cube of the lumen, the point of the lines that it belongs to.
        ids: Of the embolus that it is of, 0 none.
        step_mm: Edge of the cubes.
        voxel_mm: Of the scan, the geometric mean of its edges.

    Returns:
        By id, then branch. An embolus outside the lumen has none.
    """
    lumen = np.bincount(place, minlength=len(lines.points)) * step_mm**3
    sites = []
    for embolus in np.unique(ids[ids > 0]).tolist():
        clot = np.bincount(place[ids == embolus], minlength=len(lines.points)) * step_mm**3
        by_branch = np.bincount(lines.branch, clot, minlength=len(lines.parent))
        least = min(MIN_SHARE * by_branch.sum(), by_branch.max())  # one in very many branches lies in the fullest
        for branch in np.flatnonzero(by_branch >= least).tolist():
            on = lines.of(branch)
            obstruction = _greatest(clot[on], lumen[on], lines.points[on], step_mm, voxel_mm)
            sites.append(Site(embolus, branch, float(by_branch[branch] / by_branch.sum()), obstruction))
    return sites


def _greatest(
    clot: Floats,
    lumen: Floats,
    points: Floats,
    step_mm: float,
    voxel_mm: float,
) -> Obstruction:
    """Along a branch, the greatest share of clot in the lumen of a few millimetres.

    Args:
        clot: Volume at each point, mm3.
        lumen: Likewise.
        points: (n, 3), mm.
        step_mm: Edge of the cubes.
        voxel_mm: Of the scan.
    """
    gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    apart = np.append(gaps, step_mm) if len(gaps) else np.array([step_mm])
    width = min(len(points), max(1, round(max(WINDOW_MM, 2 * step_mm) / float(apart.mean()))))
    window = np.ones(width)
    clots, lumens, length = (np.convolve(v, window, "valid") for v in (clot, lumen, apart))
    shares = clots / np.maximum(lumens, 1e-9)
    at = int(shares.argmax())
    area, radius = lumens[at] / length[at], math.sqrt(clots[at] / length[at] / math.pi)
    off = BORDER * voxel_mm / 2
    low, high = (math.pi * max(radius + d, 0) ** 2 / max(area, 1e-9) for d in (-off, off))
    return Obstruction(float(shares[at]), min(low, 1.0), min(high, 1.0))
