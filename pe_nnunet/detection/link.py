"""Boxes on slices to tubes in space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pe_nnunet.detection.tubes import SliceBox, Tube
from pe_nnunet.roi.box import Box

LEAST_OVERLAP = 0.1  # of boxes of one thing on neighbouring slices: vessels run obliquely
LARGEST_GAP_MM = 4.0  # that a tube may miss in between


@dataclass
class _Growing:
    boxes: list[SliceBox] = field(default_factory=list)

    @property
    def last(self) -> SliceBox:
        return self.boxes[-1]


def usable(boxes: Sequence[SliceBox]) -> list[SliceBox]:
    """The boxes that are boxes: finite, not inverted, not flat, with a confidence from 0 to 1."""
    return [
        box
        for box in boxes
        if all(math.isfinite(edge) for edge in (box.y0, box.x0, box.y1, box.x1))
        and box.y0 < box.y1
        and box.x0 < box.x1
        and 0 <= box.confidence <= 1  # false for NaN
    ]


def link(
    boxes: Sequence[SliceBox],
    spacing_z_mm: float,
    *,
    least_overlap: float = LEAST_OVERLAP,
    largest_gap_mm: float = LARGEST_GAP_MM,
) -> list[tuple[SliceBox, ...]]:
    """Link boxes of one class over slices, the pair that overlaps most first.

    Args:
        boxes: In any order; as `usable` gives them.
        spacing_z_mm: Between slices.
        least_overlap: Intersection over union with the last box of a tube.
        largest_gap_mm: Distance to that box, if it is farther than the next slice.

    Returns:
        For each tube one box a slice, interpolated where the detector missed one.
    """
    reach = max(1, math.floor(largest_gap_mm / spacing_z_mm + 1e-6))
    tubes: list[_Growing] = []
    for z in sorted({box.z for box in boxes}):
        here = [box for box in boxes if box.z == z]
        open_tubes = [tube for tube in tubes if z - tube.last.z <= reach]
        pairs = [(tube.last.overlap(box), n, m) for n, tube in enumerate(open_tubes) for m, box in enumerate(here)]
        taken_tubes: set[int] = set()
        taken_boxes: set[int] = set()
        for overlap, n, m in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if overlap >= least_overlap and n not in taken_tubes and m not in taken_boxes:
                open_tubes[n].boxes.append(here[m])
                taken_tubes.add(n)
                taken_boxes.add(m)
        tubes += [_Growing([box]) for m, box in enumerate(here) if m not in taken_boxes]
    return [_filled(tube.boxes) for tube in tubes]


def tube_of(boxes: Sequence[SliceBox], shape: Sequence[int]) -> Tube | None:
    """The tube of linked boxes, cut at the image's edge; None if it lies outside.

    Args:
        boxes: One a slice.
        shape: Of the image (z, y, x).
    """
    _, height, width = shape
    inside = [
        SliceBox(box.z, max(box.y0, 0.0), max(box.x0, 0.0), min(box.y1, height), min(box.x1, width), box.confidence)
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
            filled.append(
                SliceBox(
                    z,
                    last.y0 + t * (box.y0 - last.y0),
                    last.x0 + t * (box.x0 - last.x0),
                    last.y1 + t * (box.y1 - last.y1),
                    last.x1 + t * (box.x1 - last.x1),
                    min(last.confidence, box.confidence),
                )
            )
        filled.append(box)
    return tuple(filled)
