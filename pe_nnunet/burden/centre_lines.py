"""Centre lines of an artery tree from its mask, as branches from the trunk outwards.

The skeleton is scikit-image's (Lee, Kashyap & Chu, CVGIP 56 (1994)), which nnU-Net brings anyway and which keeps every
branch. What it lacks is ours: where the tree begins, which way its branches run, and which of them are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from pe_nnunet.errors import InputError

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

MIN_TREE_MM = 100.0  # of centre lines in all: less is no tree of two lungs
WIDE = 0.6  # of the largest radius: what counts as the wide, central part
SPUR_RADII, SPUR_MM = 1.2, 2.0  # a tip that reaches no further from its junction than this belongs to the wall there


@dataclass(frozen=True)
class CentreLines:
    """Branches between divisions, each a line of points, outwards.

    Attributes:
        points: (n, 3), z, y, x in mm; those of a branch follow one another, a parent's before its children's.
        radius: Of the lumen at each point, mm.
        branch: Of each point.
        parent: Of each branch; -1 of the first, whose first point is the root.
    """

    points: Floats
    radius: Floats
    branch: Ints
    parent: Ints

    def of(self, branch: int) -> slice:
        """The points of a branch."""
        low, high = np.searchsorted(self.branch, [branch, branch + 1])
        return slice(int(low), int(high))

    @property
    def length_mm(self) -> Floats:
        """Length of each branch, from the end of its parent on."""
        return np.array([self._length(b) for b in range(len(self.parent))])

    def _length(self, branch: int) -> float:
        line = self.points[self.of(branch)]
        if self.parent[branch] >= 0:
            line = np.vstack([self.points[self.of(int(self.parent[branch]))][-1:], line])
        return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())

    def children(self, branch: int) -> list[int]:
        """Branches that leave at the end of this one."""
        return [int(b) for b in np.flatnonzero(self.parent == branch)]

    def generations(self) -> Ints:
        """Divisions between the root and each branch."""
        found = np.zeros(len(self.parent), np.int64)
        for branch in range(1, len(self.parent)):
            found[branch] = found[self.parent[branch]] + 1
        return found


def centre_lines(lumen: NDArray[np.bool_], step_mm: float) -> CentreLines:
    """Find the branches of the largest connected part of a lumen.

    The root is the foremost point of the wide part, as the trunk comes from the right ventricle in front of all else.
    From there the way to each point runs through wide arteries rather than through a place where two thin ones touch.

    Args:
        lumen: (z, y, x) in cubes, y towards the back.
        step_mm: Edge of the cubes.

    Raises:
        InputError: PE-BUR-001 if there is no tree in it.
    """
    from skimage.morphology import skeletonize

    lumen = ndi.binary_fill_holes(np.pad(lumen, 1))
    where = np.argwhere(skeletonize(lumen))
    if len(where) * step_mm < MIN_TREE_MM:
        raise InputError("PE-BUR-001", "the artery mask holds no tree of arteries", "give one of the whole tree")
    outside = np.argwhere(ndi.binary_dilation(lumen) & ~lumen)
    radius = cKDTree(outside).query(where)[0] * step_mm
    points = (where - 1.0) * step_mm
    pairs = cKDTree(where).query_pairs(1.8, output_type="ndarray")
    gap = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    cost = gap / np.minimum(radius[pairs[:, 0]], radius[pairs[:, 1]])
    graph = csr_matrix((cost, (pairs[:, 0], pairs[:, 1])), shape=(len(where),) * 2)
    _, piece = connected_components(graph, directed=False)
    largest = piece == np.bincount(piece).argmax()
    if largest.sum() * step_mm < MIN_TREE_MM:
        raise InputError(
            "PE-BUR-001", "the artery mask is in pieces, none of them a tree", "give one of the whole tree"
        )
    wide = np.flatnonzero(largest & (radius >= WIDE * radius[largest].max()))
    root = int(wide[points[wide, 1].argmin()])
    away, before = dijkstra(graph, directed=False, indices=root, return_predecessors=True)
    order = np.argsort(away, kind="stable")
    return _branches(points, radius, before.astype(np.int64), order[np.isfinite(away[order])])


def _branches(points: Floats, radius: Floats, before: Ints, order: Ints) -> CentreLines:
    """Part a tree of points into branches.

    Args:
        points: (n, 3).
        radius: (n,).
        before: The point before each one on its way from the root.
        order: Points by distance from the root, the root first.
    """
    kept = np.zeros(len(points), bool)
    kept[order] = True
    while True:
        count = np.bincount(before[order[1:]][kept[order[1:]]], minlength=len(points))
        spurs = _spurs(points, radius, before, kept, count, int(order[0]))
        if not len(spurs):
            break
        kept[spurs] = False
    branch_of = np.full(len(points), -1)
    members: list[list[int]] = [[]]
    parent = [-1]
    for point in order[kept[order]].tolist():
        if point == order[0]:
            branch = 0
        elif count[before[point]] == 1:
            branch = int(branch_of[before[point]])
        else:
            branch = len(members)
            members.append([])
            parent.append(int(branch_of[before[point]]))
        branch_of[point] = branch
        members[branch].append(point)
    flat = np.concatenate([np.array(m) for m in members])
    lengths = [len(m) for m in members]
    return CentreLines(points[flat], radius[flat], np.repeat(np.arange(len(members)), lengths), np.array(parent))


def _spurs(points: Floats, radius: Floats, before: Ints, kept: NDArray[np.bool_], count: Ints, root: int) -> Ints:
    """Points of tips that end within, or just beyond, the wall of the artery that they leave.

    Of several at one junction the shortest alone, so that an artery which ends in two of them keeps its end.
    """
    shortest: dict[int, tuple[float, list[int]]] = {}
    for tip in np.flatnonzero(kept & (count == 0)):
        chain, at = [], int(tip)
        while at != root and count[at] <= 1:
            chain.append(at)
            at = int(before[at])
        if at == root and count[root] <= 1:
            continue
        reach = float(np.linalg.norm(points[tip] - points[at]))
        if reach < SPUR_RADII * radius[at] + SPUR_MM and (at not in shortest or reach < shortest[at][0]):
            shortest[at] = (reach, chain)
    return np.array([p for _, chain in shortest.values() for p in chain], np.int64)
