"""Vessels and airways: trees of tapering tubes, and how far each voxel is from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from pe_nnunet.phantom.grid import Floats, Grid

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Tubes:
    """Straight tapering pieces that hang together as trees.

    Attributes:
        start: Where each piece starts, (n, 3) as z, y, x in mm.
        end: Where it ends.
        start_radius: Radius at the start, mm.
        end_radius: Radius at the end, mm.
        parent: Index of the piece at whose end it starts, -1 at a root; always smaller than the piece's own index.
        branch: Number of the branch that the piece belongs to.
        generation: Divisions between the root and the piece.
    """

    start: Points
    end: Points
    start_radius: Points
    end_radius: Points
    parent: NDArray[np.int64]
    branch: NDArray[np.int64]
    generation: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.parent)

    @property
    def length(self) -> Points:
        """Length of each piece, mm."""
        return np.asarray(np.linalg.norm(self.end - self.start, axis=1))

    @property
    def middle(self) -> Points:
        """Middle of each piece, (n, 3)."""
        return (self.start + self.end) / 2

    @property
    def radius(self) -> Points:
        """Mean radius of each piece, mm."""
        return (self.start_radius + self.end_radius) / 2

    @property
    def direction(self) -> Points:
        """Unit vector of each piece, (n, 3)."""
        return (self.end - self.start) / np.maximum(self.length, 1e-9)[:, None]

    def distances_from(self, piece: int, reach_mm: float) -> tuple[Points, Points]:
        """Way along the tree from the middle of a piece to every piece's start and end, infinite beyond `reach_mm`."""
        n = len(self)
        # Node i is the end of piece i; a root's start is node n + i.
        starts = np.where(self.parent >= 0, self.parent, n + np.arange(n))
        graph = csr_matrix((np.maximum(self.length, 1e-6), (starts, np.arange(n))), shape=(2 * n, 2 * n))
        half = self.length[piece] / 2
        both = dijkstra(graph, directed=False, indices=[starts[piece], piece], limit=reach_mm) + half
        to_node = both.min(axis=0)
        return to_node[starts], to_node[:n]


class TubesBuilder:
    """Collects polylines into `Tubes`."""

    def __init__(self) -> None:
        self._rows: list[tuple[Points, Points, float, float, int, int, int]] = []
        self._branches = 0

    def add(self, points: Points, radii: Sequence[float] | Points, parent: int = -1, generation: int = 0) -> int:
        """Add a branch through `points` (n, 3) with `radii` (n,); returns its last piece, its children's parent."""
        for k in range(len(points) - 1):
            self._rows.append(
                (points[k], points[k + 1], float(radii[k]), float(radii[k + 1]), parent, self._branches, generation)
            )
            parent = len(self._rows) - 1
        self._branches += 1
        return parent

    def end_of(self, piece: int) -> tuple[Points, Points]:
        """End point and unit direction of a piece."""
        start, end = self._rows[piece][:2]
        return end, (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)

    def radius_of(self, piece: int) -> float:
        """Radius at the end of a piece."""
        return self._rows[piece][3]

    def generation_of(self, piece: int) -> int:
        """Divisions between the root and a piece."""
        return self._rows[piece][6]

    def build(self) -> Tubes:
        """What was added."""
        start, end, r0, r1, parent, branch, generation = zip(*self._rows, strict=True)
        return Tubes(
            np.array(start, float), np.array(end, float), np.array(r0), np.array(r1),
            np.array(parent), np.array(branch), np.array(generation),
        )  # fmt: skip


@dataclass(frozen=True)
class TubeField:
    """Tubes on a grid.

    Attributes:
        distance: Signed distance to the nearest tube's surface in mm, negative inside, `FAR` where none is near.
        share: Share of the voxel that the tubes fill; right also for tubes thinner than a voxel.
        piece: Index of the piece whose surface is nearest, -1 where none is near.
    """

    distance: Floats
    share: Floats
    piece: NDArray[np.int32]


FAR = np.float32(1e3)


def rasterise(tubes: Tubes, grid: Grid, *, margin_mm: float = 3.0, thinnest: float = 0.3) -> TubeField:
    """Signed distances to tubes, exact near their surfaces.

    Args:
        tubes: Pieces of vessels, as centre lines with radii.
        grid: The voxels.
        margin_mm: How far outside a tube its distance is kept.
        thinnest: Tubes of a radius under this share of a voxel are left out: they would change it by a few HU.

    Returns:
        The field on the whole grid.
    """
    edge = grid.edge_mm
    margin = max(margin_mm, 1.5 * edge)
    field = TubeField(
        np.full(grid.shape, FAR, np.float32), np.zeros(grid.shape, np.float32), np.full(grid.shape, -1, np.int32)
    )
    widest = np.maximum(tubes.start_radius, tubes.end_radius)
    low = np.minimum(tubes.start, tubes.end) - (widest + margin)[:, None]
    high = np.maximum(tubes.start, tubes.end) + (widest + margin)[:, None]
    for k in np.flatnonzero(widest > thinnest * edge):
        box = grid.box_around(low[k], high[k])
        if box is not None:
            _draw(field, grid, box, tubes, int(k), margin)
    return field


def _draw(field: TubeField, grid: Grid, box: tuple[slice, slice, slice], tubes: Tubes, k: int, margin: float) -> None:
    axis = tubes.end[k] - tubes.start[k]
    square = max(float(axis @ axis), 1e-9)
    z, y, x = (a - np.float32(c) for a, c in zip(grid.axes(box), tubes.start[k], strict=True))
    along = z * np.float32(axis[0]) + y * np.float32(axis[1]) + x * np.float32(axis[2])
    share = np.clip(along / np.float32(square), 0, 1)
    # |p - start - share * axis|^2, expanded: cheaper than three offset volumes
    gap = z * z + y * y + x * x - 2 * share * along + share * share * np.float32(square)
    away = np.sqrt(np.maximum(gap, 0))
    radius = np.float32(tubes.start_radius[k]) + share * np.float32(tubes.end_radius[k] - tubes.start_radius[k])
    distance = away - radius
    nearer = (distance < field.distance[box]) & (distance < margin)
    np.copyto(field.distance[box], distance, where=nearer)
    np.copyto(field.piece[box], np.int32(k), where=nearer)
    # Smearing an edge over a voxel adds edge**2 / 12 to a squared radius: draw the tube by so much thinner. One that is
    # thinner than a voxel never fills one: draw it as wide as a voxel, at the share of its section.
    edge = np.float32(grid.edge_mm)
    smear = edge * edge / np.float32(12)
    drawn = np.sqrt(np.maximum(radius * radius - smear, (np.float32(0.48) * edge) ** 2))
    fullness = np.minimum(radius * radius / (drawn * drawn + smear), 1)
    filled = fullness * np.clip(np.float32(0.5) - (away - drawn) / edge, 0, 1)
    np.maximum(field.share[box], filled, out=field.share[box])


def smooth_path(points: Points, radii: Sequence[float] | Points, step_mm: float) -> tuple[Points, Points]:
    """A path through `points` without corners (Catmull-Rom), sampled about every `step_mm`, with radii in between."""
    points, radii = np.asarray(points, float), np.asarray(radii, float)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    out, widths = [points[:1]], [radii[:1]]
    for k in range(len(points) - 1):
        p0, p1, p2, p3 = padded[k : k + 4]
        count = max(1, round(float(np.linalg.norm(p2 - p1)) / step_mm))
        t = (np.arange(1, count + 1) / count)[:, None]
        out.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
        widths.append(radii[k] + (radii[k + 1] - radii[k]) * t[:, 0])
    return np.concatenate(out), np.concatenate(widths)
