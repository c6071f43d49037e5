"""The slices that a DICOM SEG refers to, reduced to the few elements that it must repeat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.volumes.dicom_headers import text_of
from pe_nnunet.volumes.dicom_slices import slices_of

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
        ValueError: If several multi-frame files make up the series, or a header lacks an identity.
    """
    if len(set(files)) == len(files):
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
