"""Ids of emboli as a DICOM Segmentation (PS3.3 A.51): one segment each, tied to the slices of their series."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from pe_nnunet import __version__
from pe_nnunet.errors import OutputError
from pe_nnunet.volumes.dicom.headers import quiet_pydicom, text_of
from pe_nnunet.volumes.dicom.slice_positions import slices_of

# What reading odd headers, and highdicom for what it cannot take, raise
_UNSUITABLE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Segment:
    """One embolus.

    Attributes:
        number: Its value in the labels; from 1 on without gaps.
        name: For people.
        tracking_id: Names it across files.
        text: What else is to be said of it.
    """

    number: int
    name: str
    tracking_id: str
    text: str = ""


@dataclass(frozen=True)
class Origin:
    """Who made the segmentation, and its identity.

    Attributes:
        command: Of pe-nnunet.
        algorithm: highdicom's identification of what found the emboli; None for people.
        series_description: For people.
        content_label: A code string.
        content_description: For people.
        series_number: Of the new series.
        seeds: Make the UIDs; equal ones the same UIDs. None: new ones each time.
    """

    command: str
    algorithm: Any
    series_description: str
    content_label: str
    content_description: str
    series_number: int
    seeds: Sequence[str] | None = None

    def uid(self, what: str) -> str:
        """A UID for a part of the file."""
        return str(generate_uid(entropy_srcs=None if self.seeds is None else [*self.seeds, what]))


def build_segmentation(
    labels: NDArray[Any],
    grid: sitk.Image,
    files: Sequence[Path],
    segments: Sequence[Segment],
    origin: Origin,
    what: str,
) -> Any:
    """The data set, to be saved.

    The patient and study are copied as far as the standard asks (identity, birth date, sex, study), and nothing else.

    Args:
        labels: Numbers of the segments, (z, y, x), unsigned. Without any, the frames of all slices are empty.
        grid: Their geometry.
        files: The DICOM file of each slice, in the grid's order; one file many times for a multi-frame image. None for
            a scan that was resampled.
        segments: At least one: a segmentation without segments is not valid.
        origin: Who made it.
        what: How messages call the case.

    Raises:
        OutputError: PE-OUT-004 if the headers of the series do not allow one: a SEG names its slices by SOPInstanceUID,
            which each must have for itself.
    """
    try:
        with quiet_pydicom(), warnings.catch_warnings(), disable_value_validation():
            warnings.filterwarnings("ignore", module="highdicom")  # of names without a caret, of empty frames and such
            return _segmentation(labels, grid, files, segments, origin)
    except _UNSUITABLE as error:
        kind = "" if type(error) is ValueError else f"{type(error).__name__} "
        reason = " ".join(f"{kind}{error}".split())
        raise OutputError("PE-OUT-004", f"{what}: no DICOM SEG: {reason}", "use the NIfTI file") from error


def _segmentation(
    labels: NDArray[Any], grid: sitk.Image, files: Sequence[Path], segments: Sequence[Segment], origin: Origin
) -> Any:
    from highdicom.seg import Segmentation

    sources, planes = slices_with_labels(files, grid, labels)
    return Segmentation(
        source_images=sources,
        pixel_array=planes,
        segmentation_type="BINARY",
        segment_descriptions=[_description(segment, origin) for segment in segments],
        series_instance_uid=origin.uid("series"),
        series_number=origin.series_number,
        sop_instance_uid=origin.uid("instance"),
        instance_number=1,
        manufacturer="pe-nnunet",
        manufacturer_model_name=f"pe-nnunet {origin.command}",
        software_versions=__version__,
        device_serial_number=__version__,
        series_description=origin.series_description,
        content_label=origin.content_label,
        content_description=origin.content_description,
        omit_empty_frames=bool(labels.any()),
    )


def _description(segment: Segment, origin: Origin) -> Any:
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    description = SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Embolus,
        algorithm_type="MANUAL" if origin.algorithm is None else "AUTOMATIC",
        algorithm_identification=origin.algorithm,
        tracking_uid=origin.uid(segment.tracking_id),
        tracking_id=segment.tracking_id,
        anatomic_regions=[codes.SCT.PulmonaryArtery],
    )
    if segment.text:
        description.SegmentDescription = segment.text
    return description


GEOMETRY = (
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "PixelSpacing",
    "PositionReferenceIndicator",
    "SharedFunctionalGroupsSequence",
    "SliceThickness",
    "SpacingBetweenSlices",
)
IDENTITY = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "Rows", "Columns")
PATIENT = ("AccessionNumber", "PatientID", "PatientName", "ReferringPhysicianName", "StudyID")  # all type 2: copied
NUMBERS = {"PatientBirthDate": r"\d{8}", "StudyDate": r"\d{8}", "StudyTime": r"\d{2,6}(\.\d{1,6})?"}


def slices_with_labels(
    files: Sequence[Path], grid: sitk.Image, labels: NDArray[Any]
) -> tuple[list[pydicom.Dataset], NDArray[Any]]:
    """The slices that labels lie on, all if there are none, and the labels on them in the same order.

    Args:
        files: The DICOM file of each slice, in the grid's order; one file many times for a multi-frame image.
        grid: The geometry of the labels.
        labels: (z, y, x).

    Returns:
        Reduced headers and the planes that belong to them; one header with all its frames for a multi-frame image.

    Raises:
        ValueError: If there are no files, several multi-frame files make up the series, slices share a SOPInstanceUID,
            or a header lacks an identity.
    """
    if not files:
        raise ValueError("the scan was resampled, and no file holds the slices that it has now")
    if len(set(files)) == len(files):
        _require_own_uids(files)
        used = np.flatnonzero(labels.any(axis=(1, 2))).tolist() or list(range(len(files)))
        return [reduced(files[z]) for z in used], labels[used]
    if len(set(files)) > 1:
        raise ValueError("the series is made of several multi-frame files")
    whole = reduced(files[0])
    frames = slices_of(whole, files[0])
    planes = np.zeros((len(frames), *labels.shape[1:]), labels.dtype)
    for plane, frame in zip(planes, frames, strict=True):
        z = round(grid.TransformPhysicalPointToContinuousIndex(frame.position_mm)[2])
        plane[:] = labels[z]
    return [whole], planes


def _require_own_uids(files: Sequence[Path]) -> None:
    """Refuse a series some of whose slices share a SOPInstanceUID: a SEG could not say which of them it means.

    All slices count, not those with labels alone: an unlabelled one may be the twin.
    """
    headers = [pydicom.dcmread(f, stop_before_pixels=True, specific_tags=["SOPInstanceUID"], force=True) for f in files]
    slices_of_uid = Counter(text_of(header, "SOPInstanceUID") for header in headers)
    if lacking := slices_of_uid.pop("", 0):
        raise ValueError(f"{lacking} of {len(files)} slices have no SOPInstanceUID")
    if shared := sum(count for count in slices_of_uid.values() if count > 1):
        raise ValueError(f"{shared} of {len(files)} slices share a SOPInstanceUID with another one")


def reduced(file: Path) -> pydicom.Dataset:
    """Identity, geometry and what the standard asks of patient and study; odd values are left empty, text is UTF-8.

    Nothing else of the source gets into the SEG: no institution, no staff but the referring physician, no device, no
    private elements.

    Raises:
        ValueError: If it lacks a UID that a SEG must name.
    """
    tags: Sequence[Any] = [*GEOMETRY, *IDENTITY, *PATIENT, *NUMBERS, "PatientSex", "SpecificCharacterSet"]
    source = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(tags), force=True)
    kept = pydicom.Dataset()
    for keyword in (*GEOMETRY, *IDENTITY):
        if keyword in source:
            setattr(kept, keyword, source[keyword].value)
    for keyword in ("FrameOfReferenceUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not text_of(kept, keyword):
            raise ValueError(f"{file.name} has no {keyword}")
    kept.Modality = text_of(source, "Modality") or "CT"
    kept.SpecificCharacterSet = "ISO_IR 192"
    for keyword in PATIENT:
        setattr(kept, keyword, text_of(source, keyword))
    for keyword, form in NUMBERS.items():
        value = text_of(source, keyword)
        setattr(kept, keyword, value if re.fullmatch(form, value) else "")
    sex = text_of(source, "PatientSex").upper()
    kept.PatientSex = sex if sex in {"M", "F", "O"} else ""
    return kept
