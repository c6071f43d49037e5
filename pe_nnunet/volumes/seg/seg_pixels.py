"""Pixels of a DICOM SEG: decoded, checked against the header, and turned to numbers of segments (PS3.3 C.8.20.2)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.encaps import parse_basic_offsets
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID

from pe_nnunet.errors import MissingExtraError, Note
from pe_nnunet.volumes.dicom.headers import number_of, text_of, transfer_syntax, value_of
from pe_nnunet.volumes.seg.seg_contents import damaged, segment_ids, whole_number

Values = npt.NDArray[Any]


def stored_frames(dataset: pydicom.Dataset, wanted: Sequence[int], path: Path) -> Iterator[Values]:
    """The stored values of some frames, (rows, columns) each, in the order that is asked for.

    Args:
        dataset: The whole SEG.
        wanted: Indices of frames, from 0.
        path: For messages.

    Raises:
        InputError: PE-SEG-011 if the pixel data are not of the size that the header says, or cannot be decoded.
        MissingExtraError: PE-DCM-014 if nothing here decodes the transfer syntax.
    """
    bits, samples = whole_number(dataset, "BitsAllocated"), whole_number(dataset, "SamplesPerPixel") or 1
    stored = whole_number(dataset, "BitsStored") or bits
    if bits not in {1, 8, 16} or stored != bits or samples != 1 or number_of(dataset, "PixelRepresentation"):
        raise damaged(path, f"{stored} of {bits} bits, {samples} value(s) a pixel, expected 1, 8 or 16 whole bits")
    rows, columns, frames = (whole_number(dataset, keyword) or 0 for keyword in ("Rows", "Columns", "NumberOfFrames"))
    pixels, syntax = value_of(dataset, "PixelData"), transfer_syntax(dataset)
    if not isinstance(pixels, bytes):
        raise damaged(path, "no PixelData")
    _require_decoder(syntax, path)
    needed = math.ceil(rows * columns * frames * bits / 8)
    if not syntax.is_compressed and len(pixels) not in {needed, needed + needed % 2}:
        raise damaged(path, f"{len(pixels)} bytes of pixel data, {needed} expected of its rows, columns and frames")
    if syntax.is_compressed or bits > 1:
        yield from _decoded(dataset, wanted, frames, path)
        return
    if not syntax.is_little_endian:
        raise damaged(path, "single bits in big-endian order, which cannot be read here")
    yield from (_unpacked(pixels, frame, rows, columns) for frame in wanted)


def _decoded(dataset: pydicom.Dataset, wanted: Sequence[int], frames: int, path: Path) -> Iterator[Values]:
    """Frames by pydicom, which only warns of a stream that holds more pixels than the header says."""
    syntax = dataset.file_meta.TransferSyntaxUID = transfer_syntax(dataset)
    try:
        stored = len(parse_basic_offsets(dataset.PixelData)) if syntax.is_compressed else 0  # 0: there is no table
        planes = iter_pixels(dataset, indices=list(wanted), raw=True)
        for _ in wanted:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="The decoded RLE segment")
                plane = next(planes)
            yield plane
    except Exception as error:  # decoders raise whatever they like
        raise damaged(path, error) from error
    if stored not in {0, frames}:  # found out at the end, so that what decoding has to say comes first
        raise damaged(path, f"{stored} frames are stored, {frames} described")


def _unpacked(pixels: bytes, frame: int, rows: int, columns: int) -> Values:
    """One frame of one bit a pixel; frames follow one another without padding, so that one may start within a byte.

    Source: PS3.5 8.1.1. pydicom 3.0 unpacks whole files rightly, and many single frames not.
    """
    start = frame * rows * columns
    part = np.frombuffer(pixels, np.uint8)[start // 8 : (start + rows * columns + 7) // 8]
    bits = np.unpackbits(part, bitorder="little")[start % 8 :][: rows * columns]
    return bits.reshape(rows, columns)


def _require_decoder(syntax: UID, path: Path) -> None:
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise MissingExtraError(
            "PE-DCM-014", f"{path.name} cannot be decoded here ({syntax.name})", "pip install 'pe-nnunet[codecs]'"
        )


class SegValues:
    """From the stored values of frames to numbers of segments, by the type of the SEG."""

    def __init__(self, dataset: pydicom.Dataset, kind: str, path: Path) -> None:
        self._kind, self._path = kind, path
        self._highest = number_of(dataset, "MaximumFractionalValue") or 0.0
        self._meaning = text_of(dataset, "SegmentationFractionalType").lower() or "fractional value"
        self._background = number_of(dataset, "PixelPaddingValue") if kind == "LABELMAP" else None
        self._known = [0, *segment_ids(dataset)]
        if self._background and self._background in self._known:  # it would vanish
            raise damaged(path, f"PixelPaddingValue {self._background:g}, which is a segment that it describes")
        if kind == "FRACTIONAL" and not 0 < self._highest <= 255:  # of 8 bits
            raise damaged(path, "a fractional segmentation without a valid MaximumFractionalValue")

    def numbers(self, stored: Values, segment: int | None, wanted: Sequence[int]) -> Values:
        """Segment of each pixel, 0 outside of those wanted."""
        highest = int(stored.max(initial=0))
        if self._kind == "LABELMAP":
            numbers: Values = stored.copy()
            if self._background is not None:
                numbers[numbers == self._background] = 0
            strangers = np.setdiff1d(numbers, self._known)
            if strangers.size:
                raise damaged(self._path, f"pixels of segment {strangers[0]}, which is not described")
            numbers[~np.isin(numbers, wanted)] = 0
            return numbers
        if self._kind == "FRACTIONAL":
            if highest > self._highest:
                raise damaged(self._path, f"a value of {highest}, above its maximum of {self._highest:g}")
            drawn = 2 * stored.astype(np.int32) >= self._highest
        else:
            drawn = stored > 0
            if not (stored[drawn] == highest).all():
                raise damaged(self._path, "several values in a binary segmentation")
        taken: Values = drawn * np.uint16(segment or 0)
        return taken

    def notes(self) -> list[Note]:
        """What the type made necessary."""
        if self._kind != "FRACTIONAL":
            return []
        text = f"{self._path.name} is fractional: voxels of at least half the highest {self._meaning} are taken"
        return [Note("PE-SEG-008", "warning", text)]
