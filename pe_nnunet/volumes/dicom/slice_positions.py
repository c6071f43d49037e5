"""The places of slices in space, from single-frame and multi-frame DICOM headers.

Names, instance numbers and slice locations are never used: scanners and archives number freely. What counts are
ImagePositionPatient, ImageOrientationPatient and PixelSpacing (PS3.3 C.7.6.2), in LPS mm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from pe_nnunet.volumes.dicom.headers import number_of, text_of, value_of

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Slice:
    """One slice: a single-frame file, or one frame of a multi-frame file.

    Attributes:
        file: Where its pixels are.
        frame: Index in the file, from 0.
        sop_instance_uid: Of the file.
        position_mm: LPS position of the centre of the first pixel; None where the header lacks it.
        orientation: Direction cosines along a row, then along a column; None where the header lacks them.
        pixel_spacing_mm: Between rows, between columns; None where the header lacks it.
        thickness_mm: SliceThickness; None where the header lacks it.
        rows: Pixels in a column.
        columns: Pixels in a row.
    """

    file: Path
    frame: int
    sop_instance_uid: str
    position_mm: Numbers | None
    orientation: Numbers | None
    pixel_spacing_mm: Numbers | None
    thickness_mm: float | None
    rows: int
    columns: int


def slices_of(dataset: pydicom.Dataset, file: Path) -> list[Slice]:
    """The slices in one file: one, or one per frame of a multi-frame file (PS3.3 C.7.6.16)."""
    frames = frames_of(dataset)
    uid = text_of(dataset, "SOPInstanceUID")
    rows, columns = (int(number_of(dataset, keyword) or 0) for keyword in ("Rows", "Columns"))
    slices = []
    for frame in range(frames):
        thickness = _numbers(dataset, frame, "PixelMeasuresSequence", "SliceThickness", 1)
        slices.append(
            Slice(
                file=file,
                frame=frame,
                sop_instance_uid=uid,
                position_mm=_numbers(dataset, frame, "PlanePositionSequence", "ImagePositionPatient", 3),
                orientation=_numbers(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient", 6),
                pixel_spacing_mm=_numbers(dataset, frame, "PixelMeasuresSequence", "PixelSpacing", 2),
                thickness_mm=thickness[0] if thickness else None,
                rows=rows,
                columns=columns,
            )
        )
    return slices


def frames_of(dataset: pydicom.Dataset) -> int:
    """How many frames a file holds."""
    return max(1, int(number_of(dataset, "NumberOfFrames") or 1))


def frame_sources(dataset: pydicom.Dataset, frame: int, macro: str) -> Iterator[pydicom.Dataset]:
    """Where an attribute of a frame may stand, nearest first: its own functional group, the shared one, the data set.

    Args:
        dataset: The file.
        frame: Index from 0.
        macro: Keyword of the functional group macro's sequence, for example `"PlanePositionSequence"`.
    """
    per_frame = value_of(dataset, "PerFrameFunctionalGroupsSequence")
    shared = value_of(dataset, "SharedFunctionalGroupsSequence")
    for groups, index in ((per_frame, frame), (shared, 0)):
        if isinstance(groups, pydicom.Sequence) and index < len(groups):
            items = value_of(groups[index], macro)
            if isinstance(items, pydicom.Sequence) and len(items):
                yield items[0]
    yield dataset


def _numbers(dataset: pydicom.Dataset, frame: int, macro: str, keyword: str, count: int) -> Numbers | None:
    """So many finite numbers of an element; None where there are none."""
    for source in frame_sources(dataset, frame, macro):
        if source is dataset and keyword == "ImagePositionPatient" and frames_of(dataset) > 1:
            return None  # one position for several frames places only the first
        value = value_of(source, keyword)
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        try:
            numbers = tuple(float(v) for v in values)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if len(numbers) == count and all(map(math.isfinite, numbers)):
            return numbers
    return None
