"""What a DICOM file says of its size, bounded by the file before any memory is taken for it."""

from __future__ import annotations

import pydicom
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    RLELossless,
)

from pe_nnunet.processes import require_memory
from pe_nnunet.volumes.dicom.deflated import pixel_bytes
from pe_nnunet.volumes.dicom.headers import number_of, transfer_syntax
from pe_nnunet.volumes.dicom.slice_positions import frames_of
from pe_nnunet.volumes.files.declared_size import DEFLATE_RATIO, too_large

# Bytes of pixels that a byte can become: RLE repeats 128 times for two bytes (PS3.5 G.3); a block of 64 values of JPEG
# takes two bits or more (T.81, F.1.2), a lossless value one. JPEG-LS and JPEG 2000 have no such bound, but a frame of
# theirs takes a header.
_RATIOS: dict[UID, int] = {
    DeflatedExplicitVRLittleEndian: DEFLATE_RATIO,
    RLELossless: 64,
    JPEGBaseline8Bit: 512,
    JPEGExtended12Bit: 512,
    JPEGLossless: 32,
    JPEGLosslessSV1: 32,
}
_FRAME_BYTES = 8  # the header of a frame's item (PS3.5 A.4)
MOST_FRAMES = 65_536


def require_plausible_pixels(dataset: pydicom.Dataset, file_bytes: int, name: str) -> None:
    """Check that a file can hold the pixels that its header names, and the memory their slices.

    Args:
        dataset: The header, with or without pixels.
        file_bytes: The file's size.
        name: Case and file, for messages.

    Raises:
        InputError: PE-IN-009 if it cannot, PE-IN-006 if they do not fit into memory.
    """
    frames, needed, syntax = frames_of(dataset), pixel_bytes(dataset), transfer_syntax(dataset)
    rows, columns = (int(number_of(dataset, k) or 0) for k in ("Rows", "Columns"))
    most_frames = file_bytes // _FRAME_BYTES if syntax.is_encapsulated else MOST_FRAMES
    ratio = _RATIOS.get(syntax)
    if frames > min(most_frames, MOST_FRAMES) or (ratio is not None and needed > ratio * file_bytes):
        raise too_large(name, f"{frames} frames of {rows}x{columns}, {needed} bytes", file_bytes)
    require_memory((frames, rows, columns), name)
