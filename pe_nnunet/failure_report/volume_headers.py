"""Headers of NIfTI, NRRD, MHA and MHD files without free text: geometry and encoding, as they are stored."""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import nibabel as nib

from pe_nnunet.failure_report.identifiers import Identifiers
from pe_nnunet.volumes.files.image_writer import NIFTI_SUFFIXES, PAIR_SUFFIX, image_suffix
from pe_nnunet.volumes.files.text_headers import META_SUFFIXES, NRRD_SUFFIXES

_MOST = 4 << 20
_EXTENSION_HEAD = 8  # bytes of an extension of NIfTI: its length and a code
# Bytes of free text, by the size of the header: NIfTI-1 (data_type, db_name; descrip, aux_file; intent_name) and
# NIfTI-2 (descrip, aux_file; intent_name; unused_str).
_TEXT_BYTES = {348: ((4, 32), (148, 252), (328, 344)), 540: ((240, 344), (508, 524), (525, 540))}
_ANALYZE_TEXT = ((252, 348),)  # patient's number, dates and views, where NIfTI has its geometry
_NRRD = frozenset({
    "type", "dimension", "space", "spacedimension", "sizes", "spacedirections", "kinds", "endian", "encoding",
    "spaceorigin", "spacings", "thicknesses", "spaceunits", "units", "axismins", "axismaxs", "centers", "centerings",
    "measurementframe", "lineskip", "byteskip", "min", "max", "blocksize",
})  # fmt: skip
_META = frozenset({
    "objecttype", "ndims", "dimsize", "headersize", "modality", "color", "distanceunits", "binarydata",
    "binarydatabyteordermsb", "compresseddata", "compresseddatasize", "compressionlevel", "position", "offset",
    "origin", "orientation", "rotation", "transformmatrix", "centerofrotation", "anatomicalorientation",
    "elementspacing", "elementsize", "elementtype", "elementbyteordermsb", "elementmin", "elementmax",
    "elementnumberofchannels", "elementtointensityfunctionslope", "elementtointensityfunctionoffset",
})  # fmt: skip
_PLAIN_VALUE = re.compile(rb"[-+\w.,()\s\"%?]{0,512}")


@dataclass(frozen=True)
class VolumeHeader:
    """The header of a volume file.

    Attributes:
        kind: The format.
        suffix: Of the file.
        content: The header without free text, as bytes.
        skipped: How many bytes of the file, unpacked, it stands for.
        facts: What it says, and what was taken out, as JSON's types.
    """

    kind: str
    suffix: str
    content: bytes
    skipped: int
    facts: dict[str, Any] = field(default_factory=dict)

    def voxels(self, path: Path) -> dict[str, Any]:
        """How many bytes follow the header, unpacked, and their hash; of a damaged stream up to the damage."""
        rest = _unpacked(path)[self.skipped :]
        return {"bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}

    def whole(self, path: Path) -> bytes:
        """The file with this header instead of its own; what breaks off ends where it can be read to."""
        rest = _unpacked(path)[self.skipped :]
        return gzip.compress(self.content + rest, 6, mtime=0) if self.suffix == ".nii.gz" else self.content + rest


def volume_header(path: Path, identifiers: Identifiers, number: int) -> VolumeHeader | None:
    """The header of a volume file.

    Args:
        path: Ends as a volume file.
        identifiers: Of the case: a line that holds one of them goes.
        number: By which files of the case are called.

    Returns:
        None if the file does not begin with such a header.
    """
    suffix = image_suffix(path)
    if suffix in NIFTI_SUFFIXES:
        return _nifti(path, suffix)
    if suffix in NRRD_SUFFIXES:
        return _nrrd(path, suffix, identifiers, number)
    return _meta(path, suffix, identifiers, number) if suffix in META_SUFFIXES else None


def _unpacked(path: Path, most: int = -1) -> bytes:
    """The bytes of a file; of one that is packed by gzip as many as can be unpacked."""
    with path.open("rb") as raw:
        if raw.read(2) != b"\x1f\x8b":
            raw.seek(0)
            return raw.read(most)
    content = bytearray()
    with suppress(OSError, EOFError, zlib.error), cast("BinaryIO", gzip.open(path)) as file:
        while block := file.read(1 << 16 if most < 0 else min(1 << 16, most - len(content))):
            content += block
    return bytes(content)


def _nifti(path: Path, suffix: str) -> VolumeHeader | None:
    start = _unpacked(path, _MOST)
    size = next((n for n in _TEXT_BYTES if start[:4] in {n.to_bytes(4, "little"), n.to_bytes(4, "big")}), 0)
    if not size or len(start) < size:
        return None
    content = bytearray(start[:size])
    is_nifti = start[344:347] in {b"n+1", b"ni1"} or size == 540
    removed = [*_TEXT_BYTES[size], *(() if is_nifti else _ANALYZE_TEXT)]
    text = sum(len(start[a:b].replace(b"\0", b"")) for a, b in removed)
    for a, b in removed:
        content[a:b] = bytes(b - a)
    of_size: Any = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    header = of_size(bytes(content), check=False)
    fields = {name: header[name].tolist() for name in header.keys() if header[name].dtype.kind in "iuf"}  # noqa: SIM118
    facts: dict[str, Any] = {"header": fields, "text_bytes_removed": text}
    offset = float(header["vox_offset"])
    voxels_at = int(offset) if 0 <= offset < _MOST else 0
    extensions = max(0, min(len(start), voxels_at) - size)
    skipped = size + extensions
    extended = start[size : size + 1] not in {b"", b"\0"}
    if suffix == PAIR_SUFFIX or (extended and not _extensions_end(start, size, offset) <= offset < _MOST):
        skipped = len(_unpacked(path))  # no voxels here, or nobody knows where the text of its extensions ends
    facts["extension_bytes_removed"] = max(0, skipped - size - 4)
    return VolumeHeader("NIfTI" if is_nifti else "Analyze", suffix, bytes(content) + bytes(extensions), skipped, facts)


def _extensions_end(start: bytes, size: int, offset: float) -> float:
    """Where the extensions before the voxels end, as their own lengths say; infinite if they do not say it."""
    order: Literal["little", "big"] = "little" if start[:4] == size.to_bytes(4, "little") else "big"
    at = size + 4
    while at < offset and (length := int.from_bytes(start[at : at + 4], order)) >= _EXTENSION_HEAD:
        at += length
    return at if at > size + 4 else math.inf


def _nrrd(path: Path, suffix: str, identifiers: Identifiers, number: int) -> VolumeHeader | None:
    start = _unpacked(path, _MOST)
    end = re.search(rb"\r?\n\r?\n", start)
    if not start.startswith(b"NRRD") or (end is None and len(start) == _MOST):
        return None
    skipped = end.end() if end else len(start)
    lines = start[:skipped].splitlines(keepends=True)
    kept, removed = [re.sub(rb"[^NRD\d\r\n]", b"", lines[0])], 0
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        key = re.sub(rb"[\s_-]+", b"", name).lower().decode("latin-1")
        if key == "datafile":
            kept.append(name + b": " + _data_name(number) + b"\n")
            skipped = len(_unpacked(path))  # the voxels lie elsewhere: what else is here is text, as names of files
        elif not line.strip() or (key in _NRRD and not value.startswith(b"=") and _is_plain(value, identifiers)):
            kept.append(line)
        else:
            removed += 1
    return _text_header("NRRD", suffix, kept, skipped, removed)


def _meta(path: Path, suffix: str, identifiers: Identifiers, number: int) -> VolumeHeader | None:
    start = _unpacked(path, _MOST)
    end = re.search(rb"(?im)^\s*elementdatafile\s*=.*$\n?", start)
    if end is None or b"=" not in start[:512]:
        return None
    kept, removed = [], 0
    for line in start[: end.start()].splitlines(keepends=True):
        name, _, value = line.partition(b"=")
        if name.strip().lower().decode("latin-1") in _META and _is_plain(value, identifiers):
            kept.append(line)
        else:
            removed += bool(line.strip())
    name, _, value = end[0].partition(b"=")
    local = value.strip().upper() == b"LOCAL"
    kept.append(end[0] if local else b"ElementDataFile = " + _data_name(number) + b"\n")
    # voxels that lie elsewhere may be a list of files, whose names follow
    skipped = end.end() if local else len(_unpacked(path))
    return _text_header("MetaImage", suffix, kept, skipped, removed)


def _text_header(kind: str, suffix: str, lines: list[bytes], skipped: int, removed: int) -> VolumeHeader:
    text = [line.decode("latin-1").strip() for line in lines]
    return VolumeHeader(
        kind, suffix, b"".join(lines), skipped, {"header": [line for line in text if line], "lines_removed": removed}
    )


def _data_name(number: int) -> bytes:
    return f"{number:04d}.data".encode()


def _is_plain(value: bytes, identifiers: Identifiers) -> bool:
    return _PLAIN_VALUE.fullmatch(value) is not None and not identifiers.among([value.decode("latin-1")])
