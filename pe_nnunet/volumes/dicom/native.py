"""Stored values of an uncompressed slice straight from the bytes of its file.

Most series are stored so. With the place of the pixel data known from the reading of the header, nothing is parsed a
second time and no decoder is set up. What is in any way unusual is left to pydicom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pe_nnunet.volumes.dicom.headers import number_of, text_of, transfer_syntax
from pe_nnunet.volumes.dicom.slice_positions import frames_of

_PIXEL_DATA = b"\xe0\x7f\x10\x00"  # (7FE0,0010), little endian
_EXPLICIT = (b"OW\0\0", b"OB\0\0")  # no length in implicit VR looks like these: they would be odd
_TYPES = {0.0: np.dtype("<u2"), 1.0: np.dtype("<i2")}  # by PixelRepresentation
_WHOLE_BITS = range(1, 17)


def native_frames(header: pydicom.Dataset, content: bytes, pixels_at: int) -> npt.NDArray[Any] | None:
    """The frames of an uncompressed file of 16 bits a pixel.

    Args:
        header: Its header.
        content: The whole file.
        pixels_at: Where the element of its pixel data begins.

    Returns:
        (frames, rows, columns), a view of the bytes; None where pydicom should decode the file, or say what ails it.
    """
    if transfer_syntax(header) not in {ImplicitVRLittleEndian, ExplicitVRLittleEndian}:
        return None
    kind = _TYPES.get(_number(header, "PixelRepresentation"))
    bits, allocated, samples = (_number(header, k) for k in ("BitsStored", "BitsAllocated", "SamplesPerPixel"))
    if kind is None or (allocated, samples) != (16, 1) or bits not in _WHOLE_BITS:
        return None
    if text_of(header, "PhotometricInterpretation") != "MONOCHROME2":
        return None
    shape = (frames_of(header), int(_number(header, "Rows")), int(_number(header, "Columns")))
    start, length = _value(content, pixels_at)
    count = shape[0] * shape[1] * shape[2]
    if not 0 < count * kind.itemsize <= min(length, len(content) - start):
        return None
    frames: npt.NDArray[Any] = np.frombuffer(content, kind, count, start).reshape(shape)
    return frames


def _number(header: pydicom.Dataset, keyword: str) -> float:
    value = number_of(header, keyword)
    return -1.0 if value is None else value


def _value(content: bytes, at: int) -> tuple[int, int]:
    """Where the value of the pixel data begins, and its length; no length where no such element begins there."""
    if content[at : at + 4] != _PIXEL_DATA:
        return at, 0
    start = at + 12 if content[at + 4 : at + 8] in _EXPLICIT else at + 8
    length = int.from_bytes(content[start - 4 : start], "little")
    return start, 0 if length == 0xFFFFFFFF else length  # undefined: in pieces, as only compressed data are
