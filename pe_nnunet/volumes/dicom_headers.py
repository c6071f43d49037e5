"""DICOM headers of a folder: which files are DICOM, which of them are CT slices, and of which series."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
_GROUPING_TAGS = [
    "ImageType", "Modality", "PatientID", "SOPClassUID", "SOPInstanceUID", "SeriesDescription", "SeriesInstanceUID", "StudyInstanceUID",
]  # fmt: skip


@dataclass(frozen=True)
class FileHeader:
    """What decides to which series a DICOM file belongs, and whether it is a CT slice at all.

    Attributes:
        path: The file.
        sop_class_uid: SOPClassUID.
        sop_instance_uid: SOPInstanceUID.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        patient_key: See `patient_key`; an empty string without PatientID.
        modality: For example `"CT"`.
        description: SeriesDescription.
        localizer: ImageType says that this is a scout view.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    patient_key: str
    modality: str
    description: str
    localizer: bool

    @property
    def is_ct_slice(self) -> bool:
        """A CT image that is no scout view, secondary capture, report, contour or segmentation."""
        is_class = self.sop_class_uid in CT_CLASSES if self.sop_class_uid else self.modality == "CT"
        return is_class and self.modality in {"CT", ""} and not self.localizer


def patient_key(patient_id: str) -> str:
    """16 hexadecimal digits of the SHA-256 of a PatientID; an empty string for an empty id.

    Example:
        >>> patient_key("PLASTIC")
        '8bbda3c16c8a0d79'
    """
    cleaned = patient_id.strip()
    return hashlib.sha256(cleaned.encode()).hexdigest()[:16] if cleaned else ""


def has_preamble(path: Path) -> bool:
    """Whether the file has the 128 bytes and the letters `DICM` that a DICOM file begins with (PS3.10, 7.1)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, with the preamble or, as some archives write it, without.

    Without the preamble the file must begin with an element of group 2 or 8.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (len(start) > 8 and start[:2] in {b"\x02\x00", b"\x08\x00"} and start[3] == 0)


def read_dataset(path: Path, tags: list[str] | None = None, *, pixels: bool = False) -> pydicom.Dataset | None:
    """Read a DICOM file.

    Args:
        path: The file.
        tags: Keywords of the elements to read; all if None.
        pixels: Read on through the pixel data.

    Returns:
        The data set; None if the file is no DICOM file after all.
    """
    try:
        dataset = pydicom.dcmread(
            path, stop_before_pixels=not pixels, specific_tags=list(tags) if tags else None, force=True
        )
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError):
        return None
    return dataset if len(dataset) else None


def read_headers(paths: Iterable[Path]) -> list[FileHeader]:
    """Headers of those files that are DICOM images or other DICOM objects; DICOMDIR and everything else is left out."""
    headers = []
    for path in paths:
        dataset = read_dataset(path, _GROUPING_TAGS) if looks_like_dicom(path) else None
        if dataset is None:
            continue
        sop_class = text_of(dataset, "SOPClassUID") or str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
        if sop_class == MediaStorageDirectoryStorage or not (sop_class or "SeriesInstanceUID" in dataset):
            continue
        headers.append(
            FileHeader(
                path=path,
                sop_class_uid=sop_class,
                sop_instance_uid=text_of(dataset, "SOPInstanceUID"),
                study_uid=text_of(dataset, "StudyInstanceUID"),
                series_uid=text_of(dataset, "SeriesInstanceUID"),
                patient_key=patient_key(text_of(dataset, "PatientID")),
                modality=text_of(dataset, "Modality").upper(),
                description=text_of(dataset, "SeriesDescription"),
                localizer="LOCALIZER" in text_of(dataset, "ImageType").upper(),
            )
        )
    return headers


def ct_series(headers: Iterable[FileHeader]) -> dict[str, list[FileHeader]]:
    """CT slices by SeriesInstanceUID, in the order of the UIDs."""
    series: dict[str, list[FileHeader]] = {}
    for header in headers:
        if header.is_ct_slice:
            series.setdefault(header.series_uid, []).append(header)
    return dict(sorted(series.items()))


def text_of(dataset: pydicom.Dataset, keyword: str) -> str:
    """The value of an element as text; an empty string where it is absent or cannot be decoded."""
    try:
        value = dataset.get(keyword)
    except (ValueError, KeyError, NotImplementedError, TypeError):
        return ""
    return "" if value is None else str(value)
