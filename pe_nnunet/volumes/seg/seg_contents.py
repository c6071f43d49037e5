"""What a DICOM SEG says of itself: its segments, and its frames with their places and sources (PS3.3 A.51).

Whatever contradicts itself is PE-SEG-011: such a file is refused, for any part of it may be the wrong one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import SegmentationStorage

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.dicom.headers import number_of, text_of, value_of
from pe_nnunet.volumes.dicom.slice_positions import Slice, frame_sources, slices_of
from pe_nnunet.volumes.readers import MAX_LABEL

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # in the standard since 2024; pydicom 3.0 has no name for it
AXES_TOLERANCE = 0.01  # of the products of direction cosines: headers round to two or three digits at worst
SEGMENTATIONS = frozenset({SegmentationStorage, LABEL_MAP_STORAGE})


@dataclass(frozen=True)
class SegFrame:
    """One frame of a SEG.

    Attributes:
        place: Position, orientation, pixel spacing and size.
        segment: Number of its segment; None in a label map, whose frames hold all segments.
        sources: SOPInstanceUIDs of the slices that it names, each with the frames in that file, from 0; no frames: all.
        between_mm: SpacingBetweenSlices; None where the header lacks it.
    """

    place: Slice
    segment: int | None
    sources: tuple[tuple[str, tuple[int, ...]], ...]
    between_mm: float | None


def damaged(path: Path, reason: object) -> InputError:
    """The error for a SEG that is damaged or contradicts itself."""
    return InputError(
        "PE-SEG-011",
        f"{path.name} is damaged or contradicts itself: {' '.join(str(reason).split())}",
        "export it again",
    )


def segment_names(dataset: pydicom.Dataset, path: Path) -> dict[int, str]:
    """Name of each segment by its number; 0 is the background of a label map.

    Raises:
        InputError: PE-SEG-011 without any segment, or if their numbers are no numbers or not unique.
    """
    names: dict[int, str] = {}
    for item in items_of(dataset, "SegmentSequence"):
        number = whole_number(item, "SegmentNumber")
        if number is None or number in names or not 0 <= number <= MAX_LABEL:
            raise damaged(path, f"SegmentNumber {text_of(item, 'SegmentNumber') or 'missing'}, or twice")
        names[number] = text_of(item, "SegmentLabel")
    names.pop(0, None)
    if not names:
        raise damaged(path, "it describes no segment")
    return names


def tracking_id(embolus: int) -> str:
    """How a segment of ours says which embolus it is: numbers of segments have no gaps, ids of emboli may."""
    return f"embolus {embolus}"


def segment_ids(dataset: pydicom.Dataset) -> dict[int, int]:
    """Id of each segment by its number: that of `tracking_id`, in a SEG in which every segment has one, else itself."""
    segments = items_of(dataset, "SegmentSequence")
    texts = {int(item.SegmentNumber): text_of(item, "TrackingID") for item in segments if item.SegmentNumber}
    ids = {number: int(text[8:]) for number, text in texts.items() if re.fullmatch(r"embolus [1-9]\d{0,4}", text)}
    if len(set(ids.values())) == len(texts) and max(ids.values(), default=0) <= MAX_LABEL:
        return ids
    return {number: number for number in texts}


def segmentation_type(dataset: pydicom.Dataset, path: Path) -> str:
    """BINARY, FRACTIONAL or LABELMAP.

    Raises:
        InputError: PE-SEG-011 for anything else.
    """
    default = "LABELMAP" if text_of(dataset, "SOPClassUID") == LABEL_MAP_STORAGE else ""
    kind = text_of(dataset, "SegmentationType") or default
    if kind not in {"BINARY", "FRACTIONAL", "LABELMAP"}:
        raise damaged(path, f"SegmentationType {kind or 'missing'}, expected BINARY, FRACTIONAL or LABELMAP")
    return kind


def frames_with_places(dataset: pydicom.Dataset, kind: str, path: Path) -> list[SegFrame]:
    """All frames, in the order of their pixels.

    Args:
        dataset: The SEG.
        kind: Its type.
        path: For messages.

    Raises:
        InputError: PE-SEG-004 for tiles of a slide, PE-SEG-011 if the number of frames is not that of their headers, or
            one has no position, orientation, spacing, size, or no segment that is described.
    """
    if text_of(dataset, "DimensionOrganizationType").startswith("TILED") or "TotalPixelMatrixRows" in dataset:
        raise InputError("PE-SEG-004", f"{path.name} holds tiles of a slide, no slices of a CT", "give that of the CT")
    listed = items_of(dataset, "PerFrameFunctionalGroupsSequence")
    count = whole_number(dataset, "NumberOfFrames")
    if count is None or count < 1 or count != (len(listed) or 1):
        stated = text_of(dataset, "NumberOfFrames") or "missing"
        raise damaged(path, f"NumberOfFrames {stated}, and {len(listed)} frames are described")
    shared = _sources(items_of(dataset, "SharedFunctionalGroupsSequence")[:1])
    known = {whole_number(item, "SegmentNumber") for item in items_of(dataset, "SegmentSequence")}
    frames = []
    for k, place in enumerate(slices_of(dataset, path)):
        there = {
            "ImagePositionPatient": place.position_mm is not None,
            "ImageOrientationPatient": _is_orientation(place.orientation),
            "PixelSpacing": place.pixel_spacing_mm is not None and min(place.pixel_spacing_mm) > 0,
            "Rows and Columns": min(place.rows, place.columns) > 0,
        }
        if not all(there.values()):
            lacks = ", ".join(name for name, is_there in there.items() if not is_there)
            raise damaged(path, f"frame {k + 1} has no valid {lacks}")
        segment = None
        if kind != "LABELMAP":
            segment = _first(dataset, k, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
            if segment is None or segment not in known:
                raise damaged(path, f"frame {k + 1} belongs to segment {segment}, which is not described")
        between_mm = _first(dataset, k, "PixelMeasuresSequence", "SpacingBetweenSlices")
        sources = (*_sources(listed[k : k + 1]), *shared)
        frames.append(SegFrame(place, None if segment is None else int(segment), sources, between_mm))
    return frames


def _is_orientation(cosines: Sequence[float] | None) -> bool:
    """Whether they are two perpendicular directions of length one, within the rounding of headers."""
    if cosines is None:
        return False
    axes = np.array(cosines).reshape(2, 3)
    with np.errstate(over="ignore"):
        return bool(np.abs(axes @ axes.T - np.eye(2)).max() < AXES_TOLERANCE)


def _first(dataset: pydicom.Dataset, frame: int, macro: str, keyword: str) -> float | None:
    numbers = (number_of(source, keyword) for source in frame_sources(dataset, frame, macro))
    return next((number for number in numbers if number is not None and math.isfinite(number)), None)


def _sources(groups: Sequence[pydicom.Dataset]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The images that functional groups name as sources (PS3.3 C.7.6.16.2.6)."""
    return tuple(
        (text_of(source, "ReferencedSOPInstanceUID"), _frames_named(source))
        for group in groups
        for derivation in items_of(group, "DerivationImageSequence")
        for source in items_of(derivation, "SourceImageSequence")
    )


def _frames_named(source: pydicom.Dataset) -> tuple[int, ...]:
    value = value_of(source, "ReferencedFrameNumber")
    several: list[Any] = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(int(number) - 1 for number in several if number is not None)


def items_of(dataset: pydicom.Dataset, keyword: str) -> list[pydicom.Dataset]:
    """The items of a sequence; none where it is absent or cannot be read."""
    value = value_of(dataset, keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []


def whole_number(dataset: pydicom.Dataset, keyword: str) -> int | None:
    """The value of an element as a whole number; None where it is absent or is none."""
    number = number_of(dataset, keyword)
    return int(number) if number is not None and math.isfinite(number) and number == int(number) else None
