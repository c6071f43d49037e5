"""What a picture of one case shows: the scan, findings and truth in LPS orientation, and the slices worth a look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs.artery import level_of
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.drawing import FAINT, PREDICTION_COLOUR, TRUTH_COLOUR, Volume, lps_array
from pe_nnunet.volumes.lps_arrays import lps_view
from pe_nnunet.voxels import Box, boxes_by_id, label_components

MAX_KEY_SLICES = 4
MAX_MISSED_KEY_SLICES = 2  # of these, where more than two are found
SLAB_MM = 50.0  # thickness of a projection: enough to see the vessel tree, too little for ribs and spine to cover it


@dataclass(frozen=True)
class KeySlice:
    """A slice worth a look.

    Attributes:
        centre_zyx: The voxel in its middle, on the LPS grid.
        title: What it shows.
        colour: Of the title, and of the finding's layer.
        identity: Of the finding that it is about, which is outlined more strongly than others; 0 for none.
        marked: Whether the voxel itself is marked, because there is no outline.
        whole: Whether all of the slice is shown instead of the surroundings of the voxel.
    """

    centre_zyx: tuple[int, int, int]
    title: str
    colour: str
    identity: int = 0
    marked: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Layer:
    """Findings that are outlined in one colour.

    Attributes:
        labels: Ids, (z, y, x), LPS orientation.
        boxes: Bounding box of each id.
        colour: Of the outline.
    """

    labels: NDArray[Any]
    boxes: dict[int, Box]
    colour: str

    @classmethod
    def of(cls, labels: NDArray[Any], colour: str) -> Layer:
        """Measure the boxes; a mask of a single value is parted into its connected components first."""
        boxes = boxes_by_id(labels)
        if len(boxes) == 1:
            labels, _ = label_components(labels > 0)
            boxes = boxes_by_id(labels)
        return cls(labels, boxes, colour)

    def touches(self, identity: int, other: Layer) -> bool:
        """Whether one finding shares a voxel with any of another layer."""
        box = self.boxes[identity].slices
        return bool(((self.labels[box] == identity) & (other.labels[box] > 0)).any())

    def centre(self, identity: int) -> tuple[int, int, int]:
        """The middle of a finding's box, in the slice of its largest area."""
        box = self.boxes[identity]
        _, y, x = ((a + b) // 2 for a, b in zip(box.start, box.stop, strict=True))
        return widest_slice(self.labels, identity, box), y, x


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn.

    Attributes:
        scan: HU in LPS orientation.
        found: The kept emboli, by their ids.
        truth: The true ones, if known.
        keys: At most four slices.
    """

    scan: Volume
    found: Layer
    truth: Layer | None
    keys: tuple[KeySlice, ...]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Bottom first."""
        return (self.truth, self.found) if self.truth else (self.found,)


def compose(case: CaseResult, truth: sitk.Image | None) -> Scene:
    """Turn a case to LPS and choose its key slices.

    They show the most certain embolus and the largest others; with truth, the two largest missed ones too, and more of
    them where few are found. Without an embolus the strongest candidates are shown, and without those the bare scan.

    Args:
        case: The results.
        truth: Ids or a mask on the scan's grid, or None.
    """
    scan = Volume.of(case.image)
    found_ids = lps_view(case.emboli.labels, case.image)
    found = Layer(found_ids, boxes_by_id(found_ids), PREDICTION_COLOUR)
    true = Layer.of(lps_array(truth), TRUTH_COLOUR) if truth is not None else None
    missed = _missed_keys(true, found, scan) if true else []
    kept = case.emboli.kept
    missed = missed[: max(MAX_MISSED_KEY_SLICES, MAX_KEY_SLICES - len(kept))]
    keys = _found_keys(case, MAX_KEY_SLICES - len(missed), found, true) + missed
    return Scene(scan, found, true, tuple(keys or _candidate_keys(case, scan) or _scan_keys(scan)))


def slab_of(scene: Scene, axis: int) -> tuple[int, int]:
    """First index of what a projection covers, and the one after its last: amid the findings, else amid the scan.

    Args:
        scene: The case.
        axis: 0 axial, 1 coronal.
    """
    count, spacing = scene.scan.array.shape[axis], scene.scan.spacing_mm[axis]
    sides = [box.slices[axis] for layer in scene.layers for box in layer.boxes.values()]
    middle = float(np.median([(side.start + side.stop) / 2 for side in sides])) if sides else count / 2
    thickness = min(count, max(1, round(SLAB_MM / spacing)))
    start = min(max(0, round(middle - thickness / 2)), count - thickness)
    return start, start + thickness


def _found_keys(case: CaseResult, count: int, found: Layer, truth: Layer | None) -> list[KeySlice]:
    kept: tuple[Candidate, ...] = case.emboli.kept
    chosen = [*kept[:1], *sorted(kept[1:], key=lambda row: -row.volume_mm3)][:count]
    keys = []
    for row in sorted(chosen, key=lambda row: row.id):
        artery_mm = case.artery_mm.get(row.id)
        remark = "" if artery_mm is None else f", {level_of(artery_mm)} ({artery_mm:.0f} mm)"
        if truth and not found.touches(row.id, truth):
            remark = ", false positive"  # a line has room for one of both
        title = f"{row.id}: probability {row.probability:.2f}, {row.volume_mm3:,.0f} mm³{remark}"
        keys.append(KeySlice(found.centre(row.id), title, PREDICTION_COLOUR, row.id))
    return keys


def _missed_keys(truth: Layer, found: Layer, scan: Volume) -> list[KeySlice]:
    voxel_mm3 = float(np.prod(scan.spacing_mm))
    missed = [
        (float((truth.labels[box.slices] == identity).sum()) * voxel_mm3, identity)
        for identity, box in truth.boxes.items()
        if not truth.touches(identity, found)
    ]
    return [
        KeySlice(truth.centre(identity), f"missed: true embolus {identity}, {volume:,.0f} mm³", TRUTH_COLOUR, identity)
        for volume, identity in sorted(missed, reverse=True)
    ]


def _candidate_keys(case: CaseResult, scan: Volume) -> list[KeySlice]:
    keys = []
    for row in case.emboli.candidates[:MAX_KEY_SLICES]:
        k, j, i = row.voxel_zyx
        point = case.image.TransformIndexToPhysicalPoint((i, j, k))
        x, y, z = scan.image.TransformPhysicalPointToIndex(point)
        title = f"candidate {row.id}, not kept: probability {row.probability:.2f}"
        keys.append(KeySlice((z, y, x), title, FAINT, marked=True))
    return keys


def _scan_keys(scan: Volume) -> list[KeySlice]:
    depth, height, width = scan.array.shape
    return [
        KeySlice((depth * part // 10, height // 2, width // 2), "nothing found", FAINT, whole=True)
        for part in (7, 6, 5, 4)
    ]


def widest_slice(labels: NDArray[Any], identity: int, box: Box) -> int:
    """The axial slice in which a finding has its largest area, the middle one among equals.

    Args:
        labels: Ids, (z, y, x).
        identity: Which.
        box: Its bounding box.

    Returns:
        Index along z.
    """
    area = (labels[box.slices] == identity).sum(axis=(1, 2))
    best = np.flatnonzero(area == area.max())
    return int(box.start[0] + best[len(best) // 2])


def view_around(
    centre_zyx: tuple[int, int, int], shape: tuple[int, ...], spacing_mm: tuple[float, float, float], side_mm: float
) -> tuple[int, slice, slice]:
    """The square part of an axial slice around a voxel, moved inside the slice where it would reach out of it.

    Args:
        centre_zyx: The voxel.
        shape: Of the volume, (z, y, x).
        spacing_mm: (z, y, x).
        side_mm: The square's side; less where the slice itself is smaller.

    Returns:
        Index of the part in the volume: slice, rows, columns.
    """

    def span(axis: int) -> slice:
        count = max(1, round(min(side_mm / spacing_mm[axis], shape[axis])))
        start = min(max(0, centre_zyx[axis] - count // 2), shape[axis] - count)
        return slice(start, start + count)

    return centre_zyx[0], span(1), span(2)
