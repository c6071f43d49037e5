"""What detection finds in a scan: boxes on slices, linked to tubes in space, and a box around the lungs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import Note
from pe_nnunet.voxels import Box, Index


@dataclass(frozen=True)
class SliceBox:
    """A box on one axial slice, in continuous voxels: voxel i reaches from i to i + 1.

    Attributes:
        z: Index of the slice.
        y0: Upper edge.
        x0: Left edge.
        y1: Lower edge, greater than `y0`.
        x1: Right edge, greater than `x0`.
        confidence: 0 to 1.
    """

    z: int
    y0: float
    x0: float
    y1: float
    x1: float
    confidence: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """y0, x0, y1, x1."""
        return self.y0, self.x0, self.y1, self.x1

    def overlap(self, other: SliceBox) -> float:
        """Intersection over union in the plane, 0 to 1.

        Example:
            >>> SliceBox(0, 0, 0, 2, 2, 0.5).overlap(SliceBox(1, 0, 1, 2, 3, 0.5))
            0.3333333333333333
        """
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        if height <= 0 or width <= 0:
            return 0.0
        both = height * width
        areas = (self.y1 - self.y0) * (self.x1 - self.x0) + (other.y1 - other.y0) * (other.x1 - other.x0)
        return both / (areas - both)


@dataclass(frozen=True)
class Tube:
    """Boxes of neighbouring slices that belong to one thing.

    Attributes:
        box: The voxels (z, y, x) that the tube reaches, whole ones, half open.
        confidence: That there is an embolus, 0 to 1: the highest of its boxes.
        slices: One box a slice from `box.start[0]` to `box.stop[0] - 1`, in this order; where the detector missed a
            slice in between, the box is interpolated.
    """

    box: Box
    confidence: float
    slices: tuple[SliceBox, ...]


@dataclass(frozen=True)
class Detections:
    """What was detected in one scan, in voxels of the image that was given (z, y, x).

    Attributes:
        lungs: The box around all lungs that were detected; None where there were none.
        emboli: By falling confidence.
        notes: What was dropped.
    """

    lungs: Box | None
    emboli: tuple[Tube, ...]
    notes: tuple[Note, ...] = ()


def tube_confidence(tubes: Sequence[Tube], shape: Sequence[int], start: Index = (0, 0, 0)) -> npt.NDArray[np.float32]:
    """Paint tubes into a volume: every voxel gets the confidence of the surest tube whose box covers its centre.

    Args:
        tubes: Parts outside the volume are cut off.
        shape: z, y, x.
        start: The volume's first voxel, in the voxels that tubes are given in.

    Returns:
        (z, y, x), 0 outside all tubes.

    Example:
        >>> tube = Tube(Box((1, 0, 0), (2, 1, 2)), 0.5, (SliceBox(1, 0.0, 0.0, 1.0, 2.0, 0.5),))
        >>> tube_confidence([tube], (2, 1, 3)).tolist()
        [[[0.0, 0.0, 0.0]], [[0.5, 0.5, 0.0]]]
    """
    painted = np.zeros(tuple(int(n) for n in shape), np.float32)
    for tube in sorted(tubes, key=lambda tube: tube.confidence):
        paint(tube, painted, tube.confidence, start)
    return painted


def paint(tube: Tube, volume: npt.NDArray[Any], value: float, start: Index = (0, 0, 0)) -> None:
    """Set every voxel whose centre a box of the tube covers.

    Args:
        tube: Parts outside the volume are cut off.
        volume: (z, y, x), changed in place.
        value: What they are set to.
        start: The volume's first voxel, in the voxels that the tube is given in.
    """
    (z, y, x), (depth, height, width) = start, volume.shape
    for box in tube.slices:
        if 0 <= box.z - z < depth:
            volume[box.z - z, _centres(box.y0, box.y1, y, height), _centres(box.x0, box.x1, x, width)] = value


def _centres(first: float, last: float, start: int, size: int) -> slice:
    """Of so many voxels from `start` on, those whose centres i + 0.5 lie from `first` up to `last`."""
    low, high = (min(max(int(np.ceil(edge - 0.5)) - start, 0), size) for edge in (first, last))
    return slice(low, high)


MIN_OVERLAP = 0.1  # of boxes of one thing on neighbouring slices: vessels run obliquely
MAX_GAP_MM = 4.0  # that a tube may miss in between


def usable(boxes: Sequence[SliceBox]) -> list[SliceBox]:
    """The boxes that are boxes: finite, not inverted, not flat, with a confidence from 0 to 1."""
    return [
        box
        for box in boxes
        if all(map(math.isfinite, box.edges))
        and box.y0 < box.y1
        and box.x0 < box.x1
        and 0 <= box.confidence <= 1  # false for NaN
    ]


def link(
    boxes: Sequence[SliceBox],
    spacing_z_mm: float,
    *,
    min_overlap: float = MIN_OVERLAP,
    max_gap_mm: float = MAX_GAP_MM,
) -> list[tuple[SliceBox, ...]]:
    """Link boxes of one class over slices, the pair that overlaps most first.

    Args:
        boxes: In any order; as `usable` gives them.
        spacing_z_mm: Between slices.
        min_overlap: Intersection over union with the last box of a tube.
        max_gap_mm: Distance to that box, if it is farther than the next slice.

    Returns:
        For each tube one box a slice, interpolated where the detector missed one.
    """
    reach = max(1, math.floor(max_gap_mm / spacing_z_mm + 1e-6))
    tubes: list[list[SliceBox]] = []
    for z in sorted({box.z for box in boxes}):
        here = [box for box in boxes if box.z == z]
        open_tubes = [tube for tube in tubes if z - tube[-1].z <= reach]
        pairs = [(tube[-1].overlap(box), n, m) for n, tube in enumerate(open_tubes) for m, box in enumerate(here)]
        taken_tubes: set[int] = set()
        taken_boxes: set[int] = set()
        for overlap, n, m in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if overlap >= min_overlap and n not in taken_tubes and m not in taken_boxes:
                open_tubes[n].append(here[m])
                taken_tubes.add(n)
                taken_boxes.add(m)
        tubes += [[box] for m, box in enumerate(here) if m not in taken_boxes]
    return [_filled(tube) for tube in tubes]


def tube_of(boxes: Sequence[SliceBox], shape: Sequence[int]) -> Tube | None:
    """The tube of linked boxes, cut at the image's edge; None if it lies outside.

    Args:
        boxes: One a slice.
        shape: Of the image (z, y, x).
    """
    _, height, width = shape
    inside = [
        replace(box, y0=max(box.y0, 0.0), x0=max(box.x0, 0.0), y1=min(box.y1, height), x1=min(box.x1, width))
        for box in boxes
        if box.y0 < height and box.x0 < width and box.y1 > 0 and box.x1 > 0
    ]
    if not inside:
        return None
    inside = list(_filled(inside))
    box = Box(
        (inside[0].z, math.floor(min(b.y0 for b in inside)), math.floor(min(b.x0 for b in inside))),
        (inside[-1].z + 1, math.ceil(max(b.y1 for b in inside)), math.ceil(max(b.x1 for b in inside))),
    )
    return Tube(box, max(b.confidence for b in inside), tuple(inside))


def _filled(boxes: Sequence[SliceBox]) -> tuple[SliceBox, ...]:
    """One box a slice: those in between interpolated, with the lesser confidence of their neighbours."""
    filled = [boxes[0]]
    for box in boxes[1:]:
        last = filled[-1]
        for z in range(last.z + 1, box.z):
            t = (z - last.z) / (box.z - last.z)
            y0, x0, y1, x1 = (a + t * (b - a) for a, b in zip(last.edges, box.edges, strict=True))
            filled.append(SliceBox(z, y0, x0, y1, x1, min(last.confidence, box.confidence)))
        filled.append(box)
    return tuple(filled)
