"""DICOM headers: which files are DICOM, and which of them are CT slices of which series."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
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

Only = tuple[tuple[str, str], ...]  # keywords of elements, and the values wanted of them

ENDING = ".dcm"
CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
_SHARED = ("FrameOfReferenceUID", "ImageOrientationPatient", "Rows", "Columns", "PixelSpacing", "ConvolutionKernel")
_SHARED_DIGITS = {"ImageOrientationPatient": 2}  # rounding must not tell apart; the stack checks more finely
_GROUPING = (
    *_SHARED,
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
        shared: What the slices of one scan share, as text: frame of reference, orientation, rows, columns, spacing and
            kernel.
        asked: The values of the elements that `Only` asks for, as text, in its order.
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
    shared: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @property
    def is_ct_slice(self) -> bool:
        """A CT image that is no scout view, secondary capture, report, contour or segmentation."""
        of_class = self.sop_class_uid in CT_CLASSES if self.sop_class_uid else self.modality == "CT"
        return of_class and self.modality in {"CT", ""} and not self.localizer

    @property
    def breaks_off(self) -> bool:
        """It ends before what every DICOM image says: its series, and of a CT slice its size."""
        return not self.series_uid or (self.is_ct_slice and not self.shared[_SHARED.index("Rows")])

    @property
    def is_damaged(self) -> bool:
        """An element's length is wrong, by what is not where it must be.

        That is a CT image by its class whose modality is no code (PS3.5, 6.2), or an object without any UID of its own.
        """
        of_ct = self.sop_class_uid in CT_CLASSES
        no_code = of_ct and re.fullmatch(r"[A-Z0-9_ ]{0,16}", self.modality) is None
        return no_code or not (self.study_uid or self.series_uid or self.sop_instance_uid)

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
    start = _start(path)
    return _has_preamble(start) or (len(start) > 8 and start[:2] in {b"\x02\x00", b"\x08\x00"} and start[3] == 0)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(132)
    except OSError:
        return b""


def _has_preamble(start: bytes) -> bool:
    return start[128:] == b"DICM"


def read_dataset(
    source: Path | bytes, *, grouping_only: bool = False, asked: Only = (), pixels: bool = False
) -> pydicom.Dataset | None:
    """Read a DICOM file.

    Args:
        source: The file, or its bytes.
        grouping_only: Read only what `header_of` needs.
        asked: What it needs besides.
        pixels: Read on through the pixel data.

    Returns:
        The data set; None if this is no DICOM after all, or cannot be read.

    Raises:
        InputError: PE-IN-009 for deflated pixels that go on behind those that the header names.
    """
    tags = [*_GROUPING, *(keyword for keyword, _ in asked)] if grouping_only else None
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


def header_of(dataset: pydicom.Dataset, path: Path, asked: Only = ()) -> FileHeader | None:
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
        shared=tuple(plain_text(dataset, keyword, _SHARED_DIGITS.get(keyword, 3)) for keyword in _SHARED),
        asked=tuple(plain_text(dataset, keyword) for keyword, _ in asked),
    )


def read_headers(paths: Iterable[Path], asked: Only = ()) -> tuple[list[FileHeader], list[Path]]:
    """Headers of those files that are DICOM objects; DICOMDIR and what is of another kind is left out.

    Args:
        paths: The files.
        asked: See `header_of`.

    Returns:
        The headers; and the files that should be DICOM, by their ending or their preamble, and cannot be read, or are
        damaged.
    """
    headers, damaged = [], []
    with quiet_pydicom():
        for path in paths:
            likely = looks_like_dicom(path)
            if not likely and path.suffix.lower() != ENDING:
                continue
            dataset = read_dataset(path, grouping_only=True, asked=asked) if likely else None
            header = header_of(dataset, path, asked) if dataset is not None else None
            if header is not None and not header.is_damaged:
                headers.append(header)
            elif path.suffix.lower() == ENDING or _has_preamble(_start(path)):
                damaged += [] if _is_directory(path) else [path]
    return headers, damaged


def _is_directory(path: Path) -> bool:
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
    except Exception:  # noqa: BLE001 - bytes that are no DICOM make the parser fail in any way
        return False
    return text_of(meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage


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
    try:
        return "" if value is None else str(value).strip()
    except Exception:  # noqa: BLE001 - so do the items of a sequence
        return ""


def plain_text(dataset: pydicom.Dataset, keyword: str, digits: int = 4) -> str:
    r"""The value of an element as text that is equal where values are: numbers rounded, several apart by a backslash.

    Args:
        dataset: With the element, or without.
        keyword: Of the element.
        digits: Behind the point, of numbers.

    Example:
        >>> dataset = pydicom.Dataset()
        >>> dataset.PixelSpacing = ["0.70310", "0.7031"]
        >>> print(plain_text(dataset, "PixelSpacing"))
        0.7031\0.7031
    """
    value = value_of(dataset, keyword)
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return plain("\\".join("" if v is None else str(v) for v in values), digits)


def plain(text: str, digits: int = 4) -> str:
    """Text as `plain_text` gives it."""
    return "\\".join(_plain_number(part.strip(), digits) for part in text.split("\\"))


def _plain_number(text: str, digits: int) -> str:
    try:
        return f"{round(float(text), digits) + 0.0:.15g}" if re.fullmatch(r"[-+.0-9eE]+", text) else text
    except ValueError:  # a UID
        return text


def is_unreadable(dataset: pydicom.Dataset, keyword: str) -> bool:
    """Whether an element holds something, but no number: what is damaged must not count as absent."""
    if keyword not in dataset or number_of(dataset, keyword) is not None:
        return False
    try:
        stored: object = dataset.get_item(keyword).value
    except Exception:  # noqa: BLE001 - of a kind that is none
        return True
    return bool(stored.strip(b"\0 ") if isinstance(stored, bytes) else stored)


def number_of(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """The value of an element as one number; None where it is absent or is none."""
    try:
        return float(value_of(dataset, keyword))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
