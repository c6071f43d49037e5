"""Segments of a DICOM SEG onto the grid of their scan, by the place of each frame in space.

The frames' own positions, orientations and pixel spacing say where they lie (PS3.3 A.51, C.7.6.16.2); the slices that
they name as their sources need not be there, and are a check: frames that name slices elsewhere are refused, since no
one can know which of both is wrong. Nothing is resampled: pixels must lie on voxels one by one, as labels in other
formats must.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.geometry import SAME_GRID_TOLERANCE_VOXELS, image_like
from pe_nnunet.volumes.scan import DicomInfo
from pe_nnunet.volumes.seg.frame_placement import Placement, place
from pe_nnunet.volumes.seg.seg_contents import SegFrame, damaged, frames_with_places, segment_ids, segmentation_type
from pe_nnunet.volumes.seg.seg_pixels import SegValues, Values, stored_frames
from pe_nnunet.volumes.seg.seg_source import require_all_slices, require_named_slices, require_same_series


def segment_mask(
    dataset: pydicom.Dataset, image: sitk.Image, dicom: DicomInfo, numbers: Sequence[int], path: Path
) -> tuple[sitk.Image, tuple[Note, ...]]:
    """Ids of segments on the grid of their scan, see `segment_ids`; voxels without a frame have none.

    Args:
        dataset: The whole SEG.
        image: The scan.
        dicom: Of the scan.
        numbers: Segments to take.
        path: For messages.

    Returns:
        Ids, uint16, and notes: PE-SEG-008 fractional values, PE-SEG-009 what lies outside the scan or names other
        slices, PE-SEG-010 a scan that was resampled.

    Raises:
        InputError: PE-SEG-002 if it belongs to another series, PE-SEG-004 if its pixels do not lie on the voxels of the
            scan or segments overlap, PE-SEG-011 if it is damaged or contradicts itself.
        MissingExtraError: PE-DCM-014 if its pixels cannot be decoded here.
    """
    kind = segmentation_type(dataset, path)
    frames = frames_with_places(dataset, kind, path)
    require_same_series(dataset, frames, dicom, path)
    wanted = [k for k, frame in enumerate(frames) if frame.segment is None or frame.segment in numbers]
    chosen = [frames[k] for k in wanted]
    places = _places(chosen, image, dicom, path)
    notes = require_named_slices(chosen, places, image, dicom, path)
    values = SegValues(dataset, kind, path)
    grid = _SegmentGrid(image, path)
    for frame, spot, plane in zip(chosen, places, stored_frames(dataset, wanted, path), strict=True):
        if plane.shape != spot.shape:
            raise damaged(path, f"frame {frame.place.frame + 1} has {plane.shape} pixels, expected {spot.shape}")
        grid.put(values.numbers(plane, frame.segment, numbers), frame.segment, spot)
    notes += [*values.notes(), *grid.notes(), *_resampled(grid, places, dicom, path)]
    of_number = segment_ids(dataset)
    ids = np.zeros(max(of_number) + 1, np.uint16)
    ids[list(of_number)] = list(of_number.values())
    return image_like(ids[grid.array], image), tuple(notes)


def _places(frames: Sequence[SegFrame], image: sitk.Image, dicom: DicomInfo, path: Path) -> list[Placement]:
    """Where each frame lies.

    Raises:
        InputError: PE-SEG-004 for another grid.
    """
    places = []
    for frame in frames:
        spot = place(frame.place, image, nearest=not dicom.sop_instance_uids)
        if isinstance(spot, str):
            text = f"frame {frame.place.frame + 1} of {path.name} does not lie on the voxels of the scan: {spot}"
            raise InputError("PE-SEG-004", text, "resample it onto the scan, with the nearest neighbour")
        places.append(spot)
    known = set(dicom.sop_instance_uids)
    if not any(uid in known for frame in frames for uid, _ in frame.sources):
        require_all_slices(frames, places, image, path)
    return places


class _SegmentGrid:
    """Numbers of segments on the grid of a scan, filled frame by frame.

    Attributes:
        array: (z, y, x).
    """

    def __init__(self, image: sitk.Image, path: Path) -> None:
        self.array = np.zeros(image.GetSize()[::-1], np.uint16)
        self._path = path
        self._seen: dict[tuple[int | None, ...], bytes] = {}
        self._outside, self._frames_outside = 0, 0

    def put(self, numbers: Values, segment: int | None, spot: Placement) -> None:
        """Put the pixels of a frame onto the grid; those outside it are counted.

        Args:
            numbers: (rows, columns): 0, or the number of a segment.
            segment: That of the frame; None for all.
            spot: Where the pixels lie.

        Raises:
            InputError: PE-SEG-004 if a voxel belongs to another segment already; PE-SEG-011 if two frames of one
                segment at one place differ.
        """
        digest = hashlib.sha256(numbers.tobytes()).digest()
        if self._seen.setdefault((segment, *spot.key), digest) != digest:
            text = f"two different frames of segment {segment} at one place, on slice {spot.slices.start + 1}"
            raise damaged(self._path, text if segment else "two different frames at one place")
        rows, columns = np.nonzero(numbers > 0)
        voxels = spot.voxels(rows, columns)
        inside = ((voxels >= 0) & (voxels < np.array(self.array.shape)[::-1, None])).all(axis=0)
        self._outside += int((~inside).sum())
        self._frames_outside += not inside.all()
        x, y, z = voxels[:, inside]
        before, values = self.array[z, y, x], numbers[rows, columns][inside]
        taken = (before > 0) & (before != values)
        if taken.any():
            one, other = int(before[taken][0]), int(values[taken][0])
            raise InputError(
                "PE-SEG-004",
                f"{self._path.name}: segments {one} and {other} overlap, by {int(taken.sum())} voxel(s) on slice "
                f"{int(z[taken][0]) + 1}",
                "choose segments that do not overlap with --segments, or export the label again",
            )
        self.array[z, y, x] = values

    def notes(self) -> list[Note]:
        """What lies outside the scan.

        Raises:
            InputError: PE-SEG-004 if everything does.
        """
        if not self._outside:
            return []
        if not self.array.any():
            text = f"{self._path.name} has {self._outside} voxels, and none of them lies within the scan"
            raise InputError("PE-SEG-004", text, "give the segmentation of this series, or the whole series")
        text = f"{self._path.name}: {self._outside} voxel(s) of {self._frames_outside} frame(s) lie outside the scan"
        return [Note("PE-SEG-009", "warning", f"{text}, left out")]


def _resampled(grid: _SegmentGrid, places: Sequence[Placement], dicom: DicomInfo, path: Path) -> list[Note]:
    """Label the slices that were interpolated as those nearest to them, the lower of two, and say what was done."""
    notes = []
    away = max((spot.off_voxels for spot in places), default=0.0)
    if not dicom.sop_instance_uids and away > SAME_GRID_TOLERANCE_VOXELS:
        text = f"{path.name}: the scan was resampled, its segments lie up to {away:.2f} voxels beside where they were"
        notes.append(Note("PE-SEG-010", "repaired", f"{text} drawn"))
    real = [z for z in range(len(grid.array)) if z not in dicom.interpolated]
    for z in dicom.interpolated:
        grid.array[z] = grid.array[min(real, key=lambda other: abs(other - z))]
    filled = int(np.count_nonzero(grid.array[list(dicom.interpolated)]))
    if filled:
        text = f"{path.name}: {filled} voxel(s) of interpolated slices labelled as on the slice nearest to them"
        notes.append(Note("PE-SEG-010", "repaired", text))
    return notes
