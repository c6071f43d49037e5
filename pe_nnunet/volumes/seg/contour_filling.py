"""From contours on one slice to the pixels of their region: pure geometry, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SAME_PIXELS = 0.25  # contours that lie nowhere further apart are one that is stored twice
MIN_RIM_PIXELS = 2.0  # between a contour and its hole; a contour that comes nearer may be another drawing of the first
MAX_HOLLOW = 0.6  # of the pixels of a contour may lie in its holes; more may be another drawing, a little smaller
_STEP_PIXELS = 0.25  # how densely a contour is sampled to see whether it lies within another
_MAX_STEPS = 1000  # an edge longer than this runs far beyond any image

Corners = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Outline:
    """A closed contour on its slice.

    Attributes:
        corners: (n, 2), row and column, whole at the centres of pixels; n above 0.
        xor: Combined by exclusive disjunction, not by union.
    """

    corners: Corners
    xor: bool = False


@dataclass(frozen=True)
class _Pixels:
    """Indices into the flattened slice: of pixels within a contour and not on its path, and of those on it."""

    inside: Indices
    path: Indices


@dataclass(frozen=True)
class Filled:
    """The pixels of a region on one slice.

    Attributes:
        mask: Rows and columns.
        holes: How many contours within others are holes.
        united: How many contours within others are united with them, for they are not clearly holes.
    """

    mask: npt.NDArray[np.bool_]
    holes: int = 0
    united: int = 0


def fill(outlines: Sequence[Outline], shape: tuple[int, int], tolerance: float) -> Filled:
    """Pixels of a region on one slice: those whose centres lie within its contours, or on their paths.

    One contour is filled by the even-odd rule, so that a contour that reaches its hole by a channel keeps the hole.
    Contours are united. One that lies wholly within another is its hole, and one within the hole is filled again, for
    many programs store holes so; but only if it is clearly a hole: nowhere nearer than `MIN_RIM_PIXELS` to what it lies
    in, and leaving enough of it (`MAX_HOLLOW`). Otherwise it may be a second drawing of the same thing, and is united:
    a hole that is filled is a small error, an embolus that vanishes is a large one. Two that are nearly the same are
    one, without a word. Contours for exclusive disjunction are combined
    with what came before them, in their order; the others are united at the place of the first of them.

    Args:
        outlines: In the order in which they are stored.
        shape: Rows and columns of the slice.
        tolerance: Pixels; a centre so near to a path lies on it.

    Source: PS3.3, C.8.8.6.3: "points in space lying along the path" belong to the region. Holes without a channel that
    are not CLOSEDPLANAR_XOR are not in the standard.

    Example:
        >>> square = np.array([[-0.5, -0.5], [-0.5, 4.5], [4.5, 4.5], [4.5, -0.5]])
        >>> filled = fill([Outline(square), Outline((square - 2) * 0.2 + 2)], (5, 5), 0.0)
        >>> filled.mask.astype(int).tolist(), filled.holes, filled.united
        ([[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]], 1, 0)
        >>> fill([Outline(square), Outline((square - 2) * 0.8 + 2)], (5, 5), 0.0).united
        1
    """
    mask = np.zeros(shape, bool)
    flat = mask.ravel()  # a view
    closed = [outline.corners for outline in outlines if not outline.xor]
    united = _united(closed, shape, tolerance)
    waiting = bool(closed)
    paths = []
    for outline in outlines:
        if outline.xor:
            pixels = _pixels(outline.corners, shape, tolerance)
            flat[pixels.inside] ^= True
            paths.append(pixels.path)
        elif waiting:
            mask |= united.mask
            waiting = False
    for path in paths:
        flat[path] = True
    return Filled(mask, united.holes, united.united)


def _united(contours: Sequence[Corners], shape: tuple[int, int], tolerance: float) -> Filled:
    """The union of contours, each less its holes."""
    pixels = [_pixels(corners, shape, tolerance) for corners in contours]
    count = range(len(contours))
    around = [[outer for outer in count if _lies_within(contours, pixels, inner, outer, tolerance)] for inner in count]
    clear = [all(_far_apart(contours[inner], contours[outer], tolerance) for outer in around[inner]) for inner in count]
    depth = [0] * len(contours)  # even: filled
    for _ in count:
        depth = [max((depth[outer] + 1 for outer in around[inner]), default=0) for inner in count]
        depth = [level if clear[k] else level - level % 2 for k, level in enumerate(depth)]
    mask = np.zeros(shape, bool)
    filled = {k for k in count if not clear[k]}
    for solid in count:
        if depth[solid] % 2:
            continue
        part = np.zeros(mask.size, bool)
        part[pixels[solid].inside] = part[pixels[solid].path] = True
        left = part.copy()
        holes = [k for k in count if depth[k] == depth[solid] + 1 and solid in around[k]]
        for hole in holes:
            left[pixels[hole].inside] = False
        if np.count_nonzero(left) < (1 - MAX_HOLLOW) * np.count_nonzero(part):
            filled.update(holes)
            left = part
        mask |= left.reshape(shape)
    return Filled(mask, sum(level % 2 for k, level in enumerate(depth) if k not in filled), len(filled))


def _far_apart(inner: Corners, outer: Corners, tolerance: float) -> bool:
    """Whether the path of a contour stays away from the one that it lies in, so that a rim is left all round."""
    return bool((_distance_to_path(_along(inner), outer) >= MIN_RIM_PIXELS - 2 * tolerance).all())


def _lies_within(
    contours: Sequence[Corners], pixels: Sequence[_Pixels], inner: int, outer: int, tolerance: float
) -> bool:
    """Whether a contour lies wholly within another that is not the same; it may touch it."""
    one, other = contours[inner], contours[outer]
    if inner == outer or len(one) < 3 or len(other) < 3:  # a point or a line is no hole
        return False
    touch = 2 * tolerance  # both may be rounded
    if not _box_within(one, other, touch):
        return False
    held = np.concatenate([pixels[outer].inside, pixels[outer].path])
    if not np.isin(pixels[inner].inside, held).all():
        return False  # it fills a hole of the other, along whose path it runs
    return _runs_within(one, other, touch) and not _runs_within(other, one, SAME_PIXELS)


def _runs_within(path: Corners, corners: Corners, tolerance: float) -> bool:
    """Whether a closed path leaves a contour nowhere by more than the tolerance."""
    from skimage.measure import points_in_poly

    if not _box_within(path, corners, tolerance):
        return False
    points = _along(path)
    points = points[~np.asarray(points_in_poly(points, corners), bool)]
    return bool((_distance_to_path(points, corners) <= tolerance).all())


def _box_within(inner: Corners, outer: Corners, tolerance: float) -> bool:
    low, high = outer.min(axis=0) - tolerance, outer.max(axis=0) + tolerance
    return bool((inner.min(axis=0) >= low).all() and (inner.max(axis=0) <= high).all())


def _along(corners: Corners) -> Corners:
    """Points along a closed path, its corners among them."""
    run = np.roll(corners, -1, axis=0) - corners
    steps = np.clip(np.ceil(np.abs(run).max(axis=1) / _STEP_PIXELS), 1, _MAX_STEPS).astype(np.intp)
    edge, step = _spread(steps)
    points: Corners = corners[edge] + run[edge] * (step / steps[edge])[:, None]
    return points


def _distance_to_path(points: Corners, corners: Corners) -> npt.NDArray[np.float64]:
    """Distance of each point to the nearest edge of a closed path."""
    nearest = np.full(len(points), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        nearest = np.minimum(nearest, _distance(points, start, end))
    return nearest


def _distance(points: Corners, start: Corners, end: Corners) -> npt.NDArray[np.float64]:
    """Distance of points to edges: all of them to one, or each to its own."""
    run = end - start
    squared = np.asarray((run**2).sum(axis=-1))
    share = ((points - start) * run).sum(axis=-1) / np.where(squared > 0, squared, 1)
    foot = start + np.clip(share, 0, 1)[..., None] * run
    distance: npt.NDArray[np.float64] = np.hypot(*(points - foot).T)
    return distance


def _pixels(corners: Corners, shape: tuple[int, int], tolerance: float) -> _Pixels:
    path = _path(corners, shape, tolerance)
    return _Pixels(np.setdiff1d(_inside(corners, shape), path, assume_unique=True), path)


def _inside(corners: Corners, shape: tuple[int, int]) -> Indices:
    """Indices into the flattened slice of pixels with an odd number of edges to the left of their centres.

    In time by the length of the contour and the size of the slice; `skimage.draw.polygon` takes their product.
    """
    rows, columns = shape
    start, end = corners, np.roll(corners, -1, axis=0)
    low, high = np.minimum(start, end)[:, 0], np.maximum(start, end)[:, 0]
    first = np.clip(np.ceil(low), 0, rows).astype(np.intp)
    last = np.clip(np.ceil(high) - 1, -1, rows - 1).astype(np.intp)  # of an edge, the lower end alone counts
    edge, step = _spread(np.maximum(last - first + 1, 0))
    if not len(edge):
        return edge
    row = first[edge] + step
    share = (row - start[edge, 0]) / (end - start)[edge, 0]
    crossing = start[edge, 1] + share * (end - start)[edge, 1]
    from_column = np.clip(np.ceil(crossing), 0, columns).astype(np.intp)
    top, height = int(row.min()), int(np.ptp(row)) + 1
    crossings = np.bincount((row - top) * (columns + 1) + from_column, minlength=height * (columns + 1))
    odd = np.cumsum(crossings.reshape(height, columns + 1), axis=1)[:, :columns] % 2
    return np.flatnonzero(odd) + top * columns


def _path(corners: Corners, shape: tuple[int, int], tolerance: float) -> Indices:
    """Indices into the flattened slice of pixels whose centres lie on a closed path.

    Each edge is followed along the axis on which it is longer: of each row, or column, that it crosses, one pixel can
    lie on it.
    """
    start, end = corners, np.roll(corners, -1, axis=0)
    steep = np.abs(end - start)[:, 0] >= np.abs(end - start)[:, 1]
    found = []
    for axis, edges in ((0, steep), (1, ~steep)):
        a, b = start[edges], end[edges]
        low, high = np.minimum(a, b)[:, axis] - tolerance, np.maximum(a, b)[:, axis] + tolerance
        first = np.clip(np.ceil(low), 0, shape[axis]).astype(np.intp)
        last = np.clip(np.floor(high), -1, shape[axis] - 1).astype(np.intp)
        edge, step = _spread(np.maximum(last - first + 1, 0))
        a, b = a[edge], b[edge]
        line = first[edge] + step
        length = b[:, axis] - a[:, axis]
        share = np.clip((line - a[:, axis]) / np.where(length == 0, 1, length), 0, 1)
        across = np.rint(a[:, 1 - axis] + share * (b - a)[:, 1 - axis])
        pixels = np.empty((len(line), 2))
        pixels[:, axis], pixels[:, 1 - axis] = line, across
        on = (_distance(pixels, a, b) <= tolerance) & (across >= 0) & (across < shape[1 - axis])
        found.append(pixels[on].astype(np.intp) @ np.array([shape[1], 1]))
    return np.unique(np.concatenate(found))


def _spread(counts: Indices) -> tuple[Indices, Indices]:
    """For each item as many entries as its count: the item, and its entries numbered from 0."""
    item = np.repeat(np.arange(len(counts)), counts)
    return item, np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts)
