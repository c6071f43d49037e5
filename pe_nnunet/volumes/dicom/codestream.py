"""What a compressed frame says of itself: rows, columns and bits, by its own header and not by DICOM's.

A decoder follows the stream, or follows DICOM's header and cuts what is too much; either way a header that contradicts
its stream is read to a sheared image.

Source: ITU-T T.81, B.2.2 (JPEG); T.87, C.2.2 (JPEG-LS); T.800, A.5.1 and I.5 (JPEG 2000); PS3.5, annex G (RLE).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pydicom
from pydicom.encaps import generate_fragments, get_frame
from pydicom.uid import RLELossless

from pe_nnunet.volumes.dicom.headers import number_of, transfer_syntax
from pe_nnunet.volumes.dicom.slice_positions import frames_of

_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})  # of C0 to CF: Huffman tables, an extension, arithmetic conditioning
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - _NO_FRAME | {0xF7}  # F7: JPEG-LS
_JPEG, _JPEG_2000, _JP2 = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "
MAX_PADDING = 1  # bytes that make the length of a segment even


@dataclass(frozen=True)
class Codestream:
    """What the header of a stream says.

    Attributes:
        rows: 0 where the stream does not say.
        columns: 0 where the stream does not say.
        bits: Of a value.
        has_sign: Of JPEG 2000 alone, whose values may be below 0.
    """

    rows: int
    columns: int
    bits: int
    has_sign: bool = False


def frame_bytes(dataset: pydicom.Dataset, frame: int) -> bytes:
    """The compressed bytes of a frame; none where they cannot be told.

    Args:
        dataset: The whole file, compressed.
        frame: Index from 0.
    """
    try:
        return get_frame(dataset.PixelData, frame, number_of_frames=frames_of(dataset))
    except Exception:  # noqa: BLE001 - what is wrong with it the decoder will say
        return b""


def codestream_of(frame: bytes) -> Codestream | None:
    """What a stream says; None where it is no JPEG, JPEG-LS or JPEG 2000, or is damaged."""
    if frame.startswith(_JPEG):
        return _jpeg(frame)
    if frame.startswith(_JP2):
        frame = frame[max(0, frame.find(_JPEG_2000)) :]
    return _jpeg_2000(frame) if frame.startswith(_JPEG_2000) else None


def contradiction(dataset: pydicom.Dataset, frame: bytes) -> str:
    """How the stream of a frame contradicts Rows, Columns, BitsAllocated or BitsStored; empty if it does not."""
    rows, columns, allocated = (int(number_of(dataset, k) or 0) for k in ("Rows", "Columns", "BitsAllocated"))
    expected = f"expected {rows} x {columns} (Rows x Columns)"
    if transfer_syntax(dataset) == RLELossless:
        return _rle_contradiction(frame, rows * columns, allocated, expected)
    stream = codestream_of(frame)
    if stream is None:
        return ""
    if (stream.rows or rows, stream.columns or columns) != (rows, columns):
        return f"its compressed stream holds {stream.rows} x {stream.columns} pixels, {expected}"
    if stream.bits > allocated:
        return f"its compressed stream holds {stream.bits} bits a pixel, expected up to {allocated} (BitsAllocated)"
    stored = int(number_of(dataset, "BitsStored") or allocated)
    if stream.bits < stored and not stream.has_sign and number_of(dataset, "PixelRepresentation") == 1:
        return f"its compressed stream holds {stream.bits} bits a pixel, expected {stored} (BitsStored) to have a sign"
    return ""


def surplus_frames(dataset: pydicom.Dataset) -> str:
    """Whether a file holds more compressed frames than NumberOfFrames says; empty if it does not."""
    starts = b"" if transfer_syntax(dataset) == RLELossless else (_JPEG, _JPEG_2000, _JP2)  # RLE: a fragment a frame
    try:
        fragments = list(generate_fragments(dataset.PixelData))[1:]  # the first is the table of offsets
    except Exception:  # noqa: BLE001 - likewise
        return ""
    streams = sum(fragment.startswith(starts) for fragment in fragments)
    frames = frames_of(dataset)
    return f"{streams} compressed frames, expected {frames} (NumberOfFrames)" if streams > frames else ""


def _jpeg(stream: bytes) -> Codestream | None:
    at = 2
    while len(stream) > at + 9 and stream[at] == 0xFF:
        if stream[at + 1] == 0xFF:  # fill
            at += 1
        elif stream[at + 1] in _START_OF_FRAME:
            rows, columns = (int.from_bytes(stream[at + k : at + k + 2], "big") for k in (5, 7))
            return Codestream(rows, columns, stream[at + 4])
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None


def _jpeg_2000(stream: bytes) -> Codestream | None:
    if len(stream) < 43:
        return None
    right, bottom, left, top = (int.from_bytes(stream[k : k + 4], "big") for k in (8, 12, 16, 20))
    if min(bottom - top, right - left) <= 0:
        return None
    return Codestream(bottom - top, right - left, (stream[42] & 0x7F) + 1, bool(stream[42] & 0x80))


def _rle_contradiction(frame: bytes, pixels: int, allocated: int, expected: str) -> str:
    segments = int.from_bytes(frame[:4], "little")
    if not 1 <= segments <= 15:
        return ""  # damaged, as the decoder will say
    if segments != allocated // 8:
        return f"{segments} RLE segment(s), expected {allocated // 8} (BitsAllocated {allocated})"
    starts = [int.from_bytes(frame[k : k + 4], "little") for k in range(4, 4 + 4 * segments, 4)] + [len(frame)]
    for start, end in pairwise(starts):
        length = _packed_length(frame[start:end])
        if not pixels <= length <= pixels + MAX_PADDING:
            return f"an RLE segment holds {length} pixels, {expected}"
    return ""


def _packed_length(segment: bytes) -> int:
    """How many bytes a PackBits segment makes."""
    at, length, size = 0, 0, len(segment)
    while at < size:
        code = segment[at]
        if code < 128:
            length += min(code + 1, size - at - 1)
            at += code + 2
        else:
            length += 257 - code if code > 128 and at + 1 < size else 0
            at += 1 if code == 128 else 2
    return length
