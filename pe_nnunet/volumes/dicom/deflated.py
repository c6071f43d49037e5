"""Deflated DICOM files (PS3.5 A.5), inflated no further than their own header says: 3 MB can become 3 GB."""

from __future__ import annotations

import io
import struct
import zlib
from math import prod
from pathlib import Path

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pe_nnunet.processes import require_memory
from pe_nnunet.volumes.files.declared_size import too_large

HEAD_BYTES = 32 << 20
_SLACK_BYTES = 64 << 20  # around the pixels


def inflated(source: Path | bytes, *, pixels: bool) -> io.BytesIO | None:
    """A deflated DICOM file as one that is not, inflated no further than its own header says.

    Args:
        source: The file, or its bytes.
        pixels: Inflate the pixels too; without, at most 32 MiB, which hold every header.

    Returns:
        The bytes of an explicit little-endian file, or None if the file is not deflated.

    Raises:
        InputError: PE-IN-009 if it goes on behind the pixels that it names.
    """
    start, body = _meta(source)
    if body is None:
        return None
    stream, content = zlib.decompressobj(-zlib.MAX_WBITS), b""
    try:
        content = stream.decompress(body, HEAD_BYTES)
        if pixels and stream.unconsumed_tail:
            head = pydicom.dcmread(io.BytesIO(start + content), stop_before_pixels=True, force=True)
            most = 3 * pixel_bytes(head) + _SLACK_BYTES  # colour is refused later
            name = source.name if isinstance(source, Path) else "the file"
            require_memory((most // 2, 1, 1), name)
            content += stream.decompress(stream.unconsumed_tail, max(1, most - len(content)))
            if stream.unconsumed_tail:
                raise too_large(name, f"pixels of {pixel_bytes(head)} bytes", len(body), f"over {most} bytes follow")
        if pixels and not stream.eof:
            raise zlib.error("it breaks off")  # noqa: TRY301 - as damage that it finds itself
    except zlib.error:  # damaged: what is there is read for its header, and no pixels
        content = b"" if pixels else content
    return io.BytesIO(start + content)


def _meta(source: Path | bytes) -> tuple[bytes, bytes | None]:
    """The preamble and group 2 of a deflated file, as those of one that is not, and what is deflated; None if not."""
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        start = file.read(4096)
        end, syntax = _end_of_meta(start)
        if syntax != DeflatedExplicitVRLittleEndian:
            return b"", None
        body = start[end:] + file.read()
    deflated, plain = (str(uid).encode() for uid in (DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian))
    return start[:end].replace(deflated, plain.ljust(len(deflated), b"\0"), 1), body


def _end_of_meta(start: bytes) -> tuple[int, str]:
    """Where group 2 ends, and the transfer syntax in it (PS3.10, 7.1)."""
    at, syntax = (132, "") if start[128:132] == b"DICM" else (len(start), "")
    while start[at : at + 2] == b"\x02\x00" and at + 12 <= len(start):
        long = start[at + 4 : at + 6] in {b"OB", b"OW", b"UN", b"SQ", b"UT"}
        length, value = (
            (struct.unpack_from("<I", start, at + 8)[0], at + 12)
            if long
            else (struct.unpack_from("<H", start, at + 6)[0], at + 8)
        )
        if start[at + 2 : at + 4] == b"\x10\x00":
            syntax = start[value : value + length].rstrip(b"\0 ").decode("latin-1")
        at = value + length
    return at, syntax


def pixel_bytes(dataset: pydicom.Dataset) -> int:
    """What the pixels of a header take up without compression; 0 where it does not say."""
    try:
        values = [float(dataset.get(key) or 0) for key in ("Rows", "Columns", "BitsAllocated")]
        frames = max(1, int(float(dataset.get("NumberOfFrames") or 1)))
    except Exception:  # noqa: BLE001 - elements are decoded on access, and a damaged one fails in any way
        return 0
    return -(-int(prod(values)) * frames // 8)
