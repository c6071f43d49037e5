"""What a structured report refers to: the slices of the scan, and the segments of the DICOM SEG beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from highdicom.sr import (
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
)

from pe_nnunet.volumes.dicom.derived import INSTANCE, reduced
from pe_nnunet.volumes.dicom.headers import text_of
from pe_nnunet.volumes.scan import DicomInfo

_NAMED: list[Any] = [*INSTANCE, "SOPClassUID"]


@dataclass(frozen=True)
class SegmentOfReport:
    """A segment of a DICOM SEG.

    Attributes:
        tracking_id: As the SEG has it.
        tracking_uid: Likewise.
        reference: highdicom's content items that refer to it and to the slices that it was drawn on.
    """

    tracking_id: str
    tracking_uid: str
    reference: Any


@dataclass(frozen=True)
class ReportSources:
    """The slices of a scan, and its SEG.

    Attributes:
        instances: One data set a file with the UIDs that name it; the first has patient and study as well.
        dicom: Where the slices are.
        unique: Whether each slice can be told from the others by its UID, or by its frame.
        segmentation: The SEG without its pixels; None if there is none.
        segments: Those of the SEG, by their numbers, which are the ids of the emboli.
    """

    instances: tuple[pydicom.Dataset, ...]
    dicom: DicomInfo
    unique: bool
    segmentation: pydicom.Dataset | None
    segments: Mapping[int, SegmentOfReport]

    @classmethod
    def of(cls, dicom: DicomInfo, segmentation: Path) -> ReportSources:
        """Read the headers.

        Args:
            dicom: The series.
            segmentation: The SEG's file, which need not be there.

        Raises:
            ValueError: If the scan was resampled, so that it has no files, or no file has the UIDs.
        """
        files = list(dict.fromkeys(dicom.files))
        if not files:
            raise ValueError("the scan was resampled, and no file holds the slices that it has now")
        named = [pydicom.dcmread(f, stop_before_pixels=True, specific_tags=_NAMED, force=True) for f in files]
        whole = [k for k, header in enumerate(named) if all(text_of(header, keyword) for keyword in _NAMED)]
        first = reduced(files[whole[0] if whole else 0], (*INSTANCE, "SOPClassUID"))
        instances = (first, *(named[k] for k in whole[1:]))
        uids = {text_of(header, "SOPInstanceUID") for header in instances}
        seg = pydicom.dcmread(segmentation, stop_before_pixels=True) if segmentation.is_file() else None
        return cls(instances, dicom, len(uids) == len(files), seg, {} if seg is None else _segments(seg))

    @property
    def evidence(self) -> list[pydicom.Dataset]:
        """All that the report may refer to."""
        return [*self.instances, *([] if self.segmentation is None else [self.segmentation])]

    def facts(self) -> list[str]:
        """What tells reports of other slices or another SEG apart."""
        seg = "" if self.segmentation is None else str(self.segmentation.SOPInstanceUID)
        return [seg, self.instances[0].to_json(suppress_invalid_tags=True), *self._uids()]

    def _uids(self) -> list[str]:
        return [text_of(header, "SOPInstanceUID") for header in self.instances]

    def images(self, slices: Sequence[int]) -> list[Any]:
        """References to these slices, indices z of the scan; none where a UID would not say which is meant."""
        if not self.unique:
            return []
        frames: dict[Path, list[int]] = {}
        for z in slices:
            frames.setdefault(self.dicom.files[z], []).append(self.dicom.frames[z] + 1 if self.dicom.frames else 1)
        by_file = dict(zip(dict.fromkeys(self.dicom.files), self.instances, strict=True))
        several = len(self.dicom.files) > len(by_file)  # slices that are frames of one file
        return [
            SourceImageForMeasurementGroup(
                by_file[file].SOPClassUID, by_file[file].SOPInstanceUID, sorted(numbers) if several else None
            )
            for file, numbers in frames.items()
        ]


def _segments(seg: pydicom.Dataset) -> dict[int, SegmentOfReport]:
    """The segments by their numbers."""
    drawn_on: dict[int, dict[tuple[str, str], list[int]]] = {}
    shared = seg.SharedFunctionalGroupsSequence[0]  # holds what is the same in all frames, as with a single segment
    for frame in seg.PerFrameFunctionalGroupsSequence:
        segment = (frame if "SegmentIdentificationSequence" in frame else shared).SegmentIdentificationSequence[0]
        derivation = (frame if "DerivationImageSequence" in frame else shared).DerivationImageSequence[0]
        slices = drawn_on.setdefault(int(segment.ReferencedSegmentNumber), {})
        for source in derivation.SourceImageSequence:
            numbers = source.get("ReferencedFrameNumber", [])
            held = slices.setdefault((source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID), [])
            held += [int(n) for n in ([numbers] if isinstance(numbers, int) else numbers)]
    found = {}
    for item in seg.SegmentSequence:
        number = int(item.SegmentNumber)
        images = [
            SourceImageForSegmentation(kind, uid, sorted(frames) or None)
            for (kind, uid), frames in drawn_on[number].items()
        ]
        reference = ReferencedSegment(seg.SOPClassUID, seg.SOPInstanceUID, number, source_images=images)
        found[number] = SegmentOfReport(str(item.TrackingID), str(item.TrackingUID), reference)
    return found
