"""DICOM headers: which files are DICOM, and which of them are CT slices of which series."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.config import disable_value_validation
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from pe_nnunet.errors import InputError
from pe_nnunet.files import text_sha256
from pe_nnunet.volumes.dicom.deflated import inflated

CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
_GROUPING = (
    "ImageType",
    "Modality",
    "PatientID",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "StudyInstanceUID",
)


@dataclass(frozen=True)
class FileHeader:
    """What decides to which series a DICOM file belongs, and whether it is a CT slice at all.

    Attributes:
        patient_key: See `patient_key`; an empty string without PatientID.
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
        of_class = self.sop_class_uid in CT_CLASSES if self.sop_class_uid else self.modality == "CT"
        return of_class and self.modality in {"CT", ""} and not self.localizer

    @property
    def kind(self) -> str:
        """A word or two for messages, for example `"CT Secondary Capture Image Storage"`."""
        if self.localizer:
            return "localizer"
        name = pydicom.uid.UID(self.sop_class_uid).name if self.sop_class_uid else "object of no class"
        return f"{self.modality} {name}".strip()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings about odd values: those that matter are checked here, and said with a code."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


def patient_key(patient_id: str) -> str:
    """16 hexadecimal digits of the SHA-256 of a PatientID; an empty string for an empty id.

    Example:
        >>> patient_key("PLASTIC")
        'b1e15fc0e28ef019'
    """
    cleaned = patient_id.strip()
    return text_sha256(cleaned)[:16] if cleaned else ""


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, with the preamble or, as some archives write it, without.

    With it, `DICM` stands at byte 128 (PS3.10, 7.1); without, the file must begin with an element of group 2 or 8.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (len(start) > 8 and start[:2] in {b"\x02\x00", b"\x08\x00"} and start[3] == 0)


def read_dataset(source: Path | bytes, *, grouping_only: bool = False, pixels: bool = False) -> pydicom.Dataset | None:
    """Read a DICOM file.

    Args:
        source: The file, or its bytes.
        grouping_only: Read only what `header_of` needs.
        pixels: Read on through the pixel data.

    Returns:
        The data set; None if this is no DICOM after all, or cannot be read.

    Raises:
        InputError: PE-IN-009 for deflated pixels that go on behind those that the header names.
    """
    tags = list(_GROUPING) if grouping_only else None
    try:
        with disable_value_validation():
            plain = inflated(source, pixels=pixels)
            file = plain or (io.BytesIO(source) if isinstance(source, bytes) else source)
            dataset = pydicom.dcmread(file, stop_before_pixels=not pixels, specific_tags=tags, force=True)
            if plain is not None:
                dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    except InputError:
        raise
    except Exception:  # noqa: BLE001 - bytes that are no DICOM make the parser fail in any way
        return None
    return dataset if len(dataset) else None


def header_of(dataset: pydicom.Dataset, path: Path) -> FileHeader | None:
    """The header that groups a file; None for a DICOMDIR and for what has neither class nor series."""
    sop_class = text_of(dataset, "SOPClassUID") or text_of(dataset.file_meta, "MediaStorageSOPClassUID")
    series = text_of(dataset, "SeriesInstanceUID")
    if sop_class == MediaStorageDirectoryStorage or not (sop_class or series):
        return None
    return FileHeader(
        path=path,
        sop_class_uid=sop_class,
        sop_instance_uid=text_of(dataset, "SOPInstanceUID"),
        study_uid=text_of(dataset, "StudyInstanceUID"),
        series_uid=series,
        patient_key=patient_key(text_of(dataset, "PatientID")),
        modality=text_of(dataset, "Modality").upper(),
        description=text_of(dataset, "SeriesDescription"),
        localizer="LOCALIZER" in text_of(dataset, "ImageType").upper(),
    )


def read_headers(paths: Iterable[Path]) -> list[FileHeader]:
    """Headers of those files that are DICOM objects; DICOMDIR and everything else is left out."""
    headers = []
    with quiet_pydicom():
        for path in paths:
            dataset = read_dataset(path, grouping_only=True) if looks_like_dicom(path) else None
            header = header_of(dataset, path) if dataset is not None else None
            if header is not None:
                headers.append(header)
    return headers


def ct_series(headers: Iterable[FileHeader]) -> dict[str, list[FileHeader]]:
    """CT slices by SeriesInstanceUID, in the order of the UIDs."""
    series: dict[str, list[FileHeader]] = {}
    for header in headers:
        if header.is_ct_slice:
            series.setdefault(header.series_uid, []).append(header)
    return dict(sorted(series.items()))


def transfer_syntax(dataset: pydicom.Dataset) -> UID:
    """The transfer syntax; where the file has no meta header, what pydicom found when it read the elements."""
    syntax = text_of(dataset.file_meta, "TransferSyntaxUID")
    if syntax:
        return UID(syntax)
    implicit, _ = dataset.original_encoding
    return ImplicitVRLittleEndian if implicit in {True, None} else ExplicitVRLittleEndian


def value_of(dataset: pydicom.Dataset, keyword: str) -> object:
    """The value of an element; None where it is absent, empty or cannot be decoded."""
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - elements are decoded on access, and a damaged one fails in any way
        return None
    return None if value is None or value == "" else value


def text_of(dataset: pydicom.Dataset, keyword: str) -> str:
    """The value of an element as text; an empty string where it is absent or cannot be decoded."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip()


def number_of(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """The value of an element as one number; None where it is absent or is none."""
    try:
        return float(value_of(dataset, keyword))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
