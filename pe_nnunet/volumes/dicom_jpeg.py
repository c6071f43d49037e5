"""How many bits a pixel has inside a JPEG or JPEG-LS stream, whatever the DICOM header around it says."""

from __future__ import annotations

import pydicom
from pydicom.encaps import get_frame

_START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})  # baseline, extended, progressive, lossless, JPEG-LS


def stream_bits(dataset: pydicom.Dataset, frame: int, frames: int) -> int | None:
    """Bits a pixel by the stream's own header; None where the frame is no JPEG or JPEG-LS stream, or is damaged.

    Source: ITU-T T.81, B.2.2; ITU-T T.87, C.2.2.

    Args:
        dataset: The whole file, compressed.
        frame: Index from 0.
        frames: How many the file holds.
    """
    try:
        stream = get_frame(dataset.PixelData, frame, number_of_frames=frames)
    except Exception:  # noqa: BLE001 - what is wrong with it the decoder will say
        return None
    at = 2
    while stream[:2] == b"\xff\xd8" and len(stream) > at + 4 and stream[at] == 0xFF:
        if stream[at + 1] in _START_OF_FRAME:
            return stream[at + 4]
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None
