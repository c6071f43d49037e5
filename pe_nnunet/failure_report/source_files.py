"""The files of a failing case as they go into its bundle: cleaned headers, pixels if asked for, facts of all else."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import IGNORE, disable_value_validation, settings

from pe_nnunet.errors import InputError
from pe_nnunet.failure_report.dicom_profile import PIXELS, clean, text_elements
from pe_nnunet.failure_report.identifiers import Identifiers
from pe_nnunet.failure_report.volume_headers import VolumeHeader, volume_header
from pe_nnunet.files import bytes_sha256
from pe_nnunet.volumes.dicom.headers import looks_like_dicom, quiet_pydicom, read_dataset
from pe_nnunet.volumes.dicom.patient_header import patients_of
from pe_nnunet.volumes.files.image_writer import image_suffix

MOST_FILES = 5000
_FIRST_BYTES = 132
_HASHED_FROM = 1024  # bytes; the hash of less could be found by trying what the file may hold
_KINDS = (
    (b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"%PDF", "PDF"),
    (b"NRRD", "NRRD"), (b"\x5c\x01\0\0", "NIfTI-1"), (b"\0\0\x01\x5c", "NIfTI-1"), (b"\x1c\x02\0\0", "NIfTI-2"),
    (b"\0\0\x02\x1c", "NIfTI-2"), (b"\x89HDF", "HDF5"),
)  # fmt: skip


@dataclass(frozen=True)
class BundledFile:
    """A file of the case in its bundle.

    Attributes:
        name: Of it in the bundle; empty where only facts of it are there.
        content: What is written under that name.
        facts: What is said of it, as JSON's types.
        warnings: What a person should know before sending it.
    """

    name: str
    content: bytes
    facts: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())


def files_of(source: Path) -> list[Path]:
    """The files of a case: one, or all below a folder but hidden ones, in their order.

    Raises:
        InputError: PE-IN-002 if there is no such path, PE-IN-001 if it holds none, PE-REP-001 if too many for one case.
    """
    if not source.exists():
        raise InputError("PE-IN-002", f"{source} does not exist", "check the path")
    if source.is_file():
        return [source]
    files: list[Path] = []
    for path in source.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(source).parts):
            files.append(path)
        if len(files) > MOST_FILES:
            raise InputError("PE-REP-001", f"{source} holds over {MOST_FILES} files", "name the folder of one case")
    if not files:
        raise InputError("PE-IN-001", f"{source} holds no file", "name the folder or file that failed")
    return sorted(files)


def collect_identifiers(source: Path, files: list[Path]) -> Identifiers:
    """Everything in the headers and names of a case that could tell whose it is."""
    found = Identifiers()
    root = source.resolve()
    found.add_case(*(part for part in root.parts[1:] if part), root.name.split(".")[0])
    names, dates = patients_of(file for file in files if looks_like_dicom(file))
    found.birth_dates |= dates
    for name in names:
        found.add_name(name)
    for date in dates:
        found.add_value(date)
    for file in files:
        found.add_case(*file.relative_to(source).parts if file != source else (file.name,))
        found.add_case(file.name[: -len(image_suffix(file)) or None], file.stem)
        if looks_like_dicom(file):
            _add_header(file, found)
    return found


def bundled(path: Path, number: int, identifiers: Identifiers, *, pixels: bool) -> BundledFile:
    """A file as it goes into the bundle.

    Args:
        path: Any file of the case.
        number: By which it is called.
        identifiers: Of the whole case.
        pixels: Whether pixels and voxels go along.

    Raises:
        MissingExtraError: PE-REP-004 for DICOM without dicom-anonymizer.
    """
    if image_suffix(path):
        header = volume_header(path, identifiers, number)
        return _volume(path, number, header, pixels=pixels) if header else _unreadable(path)
    return (looks_like_dicom(path) and _dicom(path, number, identifiers, pixels=pixels)) or _unreadable(path)


def _dicom(path: Path, number: int, identifiers: Identifiers, *, pixels: bool) -> BundledFile | None:
    dataset = _read(path)
    if dataset is None:
        return None
    stored = {keyword: dataset.get_item(keyword) for keyword in PIXELS if keyword in dataset}
    burnt_in = _burnt_in(dataset)
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    facts: dict[str, Any] = {"kind": "DICOM", "bytes": path.stat().st_size}
    values = {keyword: bytes(getattr(element, "value", None) or b"") for keyword, element in stored.items()}
    facts["pixels"] = {
        keyword: {
            "bytes": len(value),
            "bytes_said": getattr(stored[keyword], "length", None),
            "vr": getattr(stored[keyword], "VR", None),
            "sha256": hashlib.sha256(value).hexdigest(),
        }
        for keyword, value in values.items()
    }
    facts["unreadable_elements"] = clean(dataset, identifiers)
    header = _written(dataset)
    if header is None or identifiers.in_bytes(header):
        return None
    warned: list[str] = []
    if pixels and values:
        if any(identifiers.in_bytes(value) for value in values.values()):
            warned.append("PE-REP-006: its pixel data hold a text of its header, and were left out")
        else:
            for keyword, value in values.items():
                vr = getattr(stored[keyword], "VR", None)  # which the facts say as well
                dataset.add_new(keyword, "OW" if vr in (None, "UN") else vr, value)  # pydicom writes no UN here
                dataset[keyword].is_undefined_length = bool(getattr(syntax, "is_encapsulated", False))
            whole = _written(dataset)
            if whole is None:
                warned.append("PE-REP-006: its pixel data cannot be written again, and were left out")
            else:
                header = whole
                if any(values.values()):
                    burnt = f"with text burnt into them (BurnedInAnnotation: {burnt_in})"
                    warned.append(f"PE-REP-005: pixels go along, {burnt}")
    return BundledFile(f"files/{number:04d}.dcm", header, facts, tuple(warned))


def _volume(path: Path, number: int, header: VolumeHeader, *, pixels: bool) -> BundledFile:
    voxels = header.voxels(path)
    facts = {"kind": header.kind, "bytes": path.stat().st_size} | header.facts | {"voxels": voxels}
    name = f"files/{number:04d}{header.suffix}"
    if not pixels:
        return BundledFile(f"{name}.header", header.content, facts)
    warned = ("PE-REP-005: voxels go along, with the surface of the body and what is burnt into them",)
    return BundledFile(name, header.whole(path), facts, warned if voxels["bytes"] else ())


def _unreadable(path: Path) -> BundledFile:
    """A file of which only size, kind and hash are said."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES)
    facts = {"kind": f"not readable: {kind_of(start)}", "bytes": size}
    facts["sha256"] = bytes_sha256(path) if size >= _HASHED_FROM else "not said of so small a file"
    return BundledFile("", b"", facts)


def kind_of(start: bytes) -> str:
    """What a file is by its first 132 bytes, in a word.

    Example:
        >>> kind_of(bytes(128) + b"DICM"), kind_of(b"hello"), kind_of(b"")
        ('DICOM', 'text', 'empty')
    """
    if not start:
        return "empty"
    if start[128:132] == b"DICM":
        return "DICOM"
    for magic, kind in _KINDS:
        if start.startswith(magic):
            return kind
    if not start.strip(b"\0"):
        return "zeros"
    return "text" if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start) else "other bytes"


def _add_header(path: Path, found: Identifiers) -> None:
    dataset = _read(path, pixels=False)
    if dataset is None:
        return
    with quiet_pydicom(), disable_value_validation():
        for element in text_elements(dataset):
            if element.VR in {"UI", "CS", "OW"} or element.keyword in _TELLS_NOTHING:
                continue
            for value in element.value if element.VM > 1 else [element.value]:
                text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                if len(text) > _LONGEST:
                    continue
                if element.VR == "PN":
                    found.add_name(text)
                found.add_value(text.strip("\0 "))


_LONGEST = 10240
_TELLS_NOTHING = frozenset({
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel", "FilterType", "RescaleType",
    "CodingSchemeDesignator", "CodeMeaning", "CodeValue", "PatientAge",
})  # fmt: skip


def _read(path: Path, *, pixels: bool = True) -> pydicom.Dataset | None:
    """A data set that says of what class, or at least of what modality, it is; else the bytes were none."""
    try:
        with quiet_pydicom():
            dataset = read_dataset(path, pixels=pixels)
            return dataset if dataset is not None and ("SOPClassUID" in dataset or "Modality" in dataset) else None
    except InputError:
        return None


def _burnt_in(dataset: pydicom.Dataset) -> str:
    try:
        said = str(dataset.get("BurnedInAnnotation", "")).strip()
    except Exception:  # noqa: BLE001 - a damaged value
        return "nothing"
    return said if said in {"YES", "NO"} else "nothing"


def _written(dataset: pydicom.Dataset) -> bytes | None:
    file = io.BytesIO()
    before = settings.writing_validation_mode
    try:
        settings.writing_validation_mode = IGNORE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.save_as(file, enforce_file_format=False)
    except Exception:  # noqa: BLE001 - what is too damaged to be written again
        return None
    finally:
        settings.writing_validation_mode = before
    return file.getvalue()
