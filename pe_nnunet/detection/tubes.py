"""What detection finds in a scan: boxes on slices, linked to tubes, and a box around the lungs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import Note
from pe_nnunet.roi.box import Box


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


def tube_confidence(tubes: Sequence[Tube], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Paint tubes into a volume: every voxel gets the confidence of the surest tube whose box covers its centre.

    Args:
        tubes: In voxels of the volume; parts outside it are cut off.
        shape: z, y, x.

    Returns:
        (z, y, x), 0 outside all tubes.

    Example:
        >>> tube = Tube(Box((1, 0, 0), (2, 1, 2)), 0.5, (SliceBox(1, 0.0, 0.0, 1.0, 2.0, 0.5),))
        >>> tube_confidence([tube], (2, 1, 3)).tolist()
        [[[0.0, 0.0, 0.0]], [[0.5, 0.5, 0.0]]]
    """
    painted = np.zeros(tuple(int(n) for n in shape), np.float32)
    for tube in sorted(tubes, key=lambda tube: tube.confidence):
        paint(tube, painted, tube.confidence)
    return painted


def paint(tube: Tube, volume: npt.NDArray[Any], value: float) -> None:
    """Set every voxel whose centre a box of the tube covers.

    Args:
        tube: In voxels of the volume; parts outside it are cut off.
        volume: (z, y, x), changed in place.
        value: What they are set to.
    """
    depth, height, width = volume.shape
    for box in tube.slices:
        if 0 <= box.z < depth:
            volume[box.z, _centres(box.y0, box.y1, height), _centres(box.x0, box.x1, width)] = value


def _centres(first: float, last: float, size: int) -> slice:
    """The voxels whose centres i + 0.5 lie from `first` up to `last`."""
    return slice(min(max(int(np.ceil(first - 0.5)), 0), size), min(max(int(np.ceil(last - 0.5)), 0), size))
