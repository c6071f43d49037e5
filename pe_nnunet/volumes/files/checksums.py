"""Compressed voxels read to the end of their streams, whose checksums say whether they are what was written.

Readers of images stop where the voxels end, and take damaged ones for voxels.
"""

from __future__ import annotations

import bz2
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip, isal_zlib

from pe_nnunet.volumes.files.declared_size import is_padding
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.files.text_headers import (
    META_SUFFIXES,
    NRRD_SUFFIXES,
    meta_header,
    nrrd_header,
    where_voxels_are,
)

_BLOCK = 1 << 20
_SURPLUS = 1 << 20  # of padding, which may follow the voxels


def gunzip(path: Path, size: int) -> bytearray:
    """The first bytes of what a gzip file holds; all of its checksums are compared (RFC 1952).

    Args:
        path: The file.
        size: How many bytes are wanted.

    Raises:
        OSError, EOFError, zlib.error: If the file breaks off or is damaged, holds less, or very much more.
    """
    content = bytearray(size)
    place, rest = 0, 0
    with path.open("rb") as file:
        unpacked = cast("BinaryIO", igzip.IGzipFile(fileobj=file, mode="rb"))  # type: ignore[no-untyped-call]
        with memoryview(content) as view:
            while place < size and (count := unpacked.readinto(view[place : place + _BLOCK])):  # type: ignore[attr-defined]
                place += count
        while block := unpacked.read(_BLOCK):
            rest += len(block)
            if rest > _SURPLUS or not is_padding(block):
                raise OSError(f"it holds more than the {size} bytes that its header says")
    if place < size:
        raise EOFError(f"it holds {place} bytes, expected {size}")
    return content


def unpacked_sha256(path: Path) -> str | None:
    """SHA-256 of what a gzip file holds, in hexadecimal, which stays the same however it is compressed.

    Args:
        path: The file.

    Returns:
        None where it is no gzip file, or a damaged one.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            unpacked = cast("BinaryIO", igzip.IGzipFile(fileobj=file, mode="rb"))  # type: ignore[no-untyped-call]
            while block := unpacked.read(_BLOCK):
                digest.update(block)
    except (OSError, EOFError, zlib.error, cast("type[Exception]", isal_zlib.error)):
        return None
    return digest.hexdigest()


def require_whole_streams(path: Path, files: Sequence[Path], size: int) -> int | None:
    """Compare the checksums of compressed voxels in an NRRD, MHA or MHD file; uncompressed ones have none.

    Args:
        path: The file.
        files: What `data_files` gave.
        size: Bytes of the voxels, by its header.

    Returns:
        How many bytes they unpack to; None where they are not compressed.

    Raises:
        OSError, EOFError, zlib.error: If the stream breaks off or is damaged, or holds very much more.
    """
    most = None
    if image_suffix(path) in NRRD_SUFFIXES:
        encoding = nrrd_header(path)[0].get("encoding", "raw").lower()
    elif image_suffix(path) in META_SUFFIXES:
        tags = meta_header(path)
        encoding = "zlib" if tags.get("compresseddata", "").lower() == "true" else "raw"
        most = int(tags["compresseddatasize"]) if "compresseddatasize" in tags else None  # ITK reads so many bytes
    else:
        return None
    data, start = where_voxels_are(path, files)
    if encoding in {"gzip", "gz"}:
        return _read_to_end(data, start, size, lambda: zlib.decompressobj(wbits=31))
    if encoding == "zlib":
        return _read_to_end(data, start, size, zlib.decompressobj, most)
    if encoding in {"bzip2", "bz2"}:
        return _read_to_end(data, start, size, bz2.BZ2Decompressor)
    return None


def _read_to_end(path: Path, start: int, size: int, make: Callable[[], object], most: int | None = None) -> int:
    """How many bytes a stream unpacks to, read no further than a little behind `size` of them."""
    unpacker, count = make(), 0
    for block in _blocks(path, start, most):
        left = block
        while left and not unpacker.eof:  # type: ignore[attr-defined]
            if isinstance(unpacker, bz2.BZ2Decompressor):
                count += len(unpacker.decompress(left, _BLOCK))
                left = b""
                while not unpacker.eof and not unpacker.needs_input and count <= size + _SURPLUS:
                    count += len(unpacker.decompress(b"", _BLOCK))
            else:
                count += len(unpacker.decompress(left, _BLOCK))  # type: ignore[attr-defined]
                left = unpacker.unconsumed_tail  # type: ignore[attr-defined]
            if count > size + _SURPLUS:
                raise OSError(f"it holds more than the {size} bytes that its header says")
        if unpacker.eof:  # type: ignore[attr-defined]
            return count
    raise EOFError("its compressed voxels break off")


def _blocks(path: Path, start: int, most: int | None) -> Iterator[bytes]:
    left = path.stat().st_size if most is None else most
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(min(_BLOCK, left)):
            left -= len(block)
            yield block
