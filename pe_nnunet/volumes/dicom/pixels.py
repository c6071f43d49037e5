"""Pixels of one DICOM slice to Hounsfield units.

Uncompressed, RLE and deflated data are decoded by pydicom; JPEG, JPEG-LS and JPEG 2000 by pydicom where a plugin is
installed, else by the GDCM inside SimpleITK.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pe_nnunet.errors import InputError, MissingExtraError
from pe_nnunet.volumes.dicom.codestream import codestream_of, contradiction, frame_bytes, surplus_frames
from pe_nnunet.volumes.dicom.declared_size import require_plausible_pixels
from pe_nnunet.volumes.dicom.deflated import pixel_bytes
from pe_nnunet.volumes.dicom.headers import is_unreadable, number_of, text_of, transfer_syntax
from pe_nnunet.volumes.dicom.slice_positions import Slice, frame_sources, frames_of
from pe_nnunet.volumes.dicom.stored_bits import StoredBits, padding_word, stored_bits
from pe_nnunet.volumes.files.file_checks import name_for_itk

_POSSIBLE_SLOPE = (1e-3, 1e3)  # HU for a step of the stored values, which tell tissues apart
_GDCM_DECODES = frozenset(
    {
        JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless,
        JPEG2000Lossless, JPEG2000, RLELossless,
    }
)  # fmt: skip
Rescale = tuple[float | None, float | None, str]  # slope, intercept, RescaleType

_COUNTS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
           "NumberOfFrames")  # fmt: skip
MAX_INTERCEPT = 1e6  # HU lie within 32,000, and stored values within 65,535
MIN_BITS = 9  # 8 bits cannot hold HU: such files come from lossy exports and decode without an error
MAX_PADDING_BYTES = 7  # zeros behind the pixels, of writers that align elements to 8 bytes


def require_ct_pixels(dataset: pydicom.Dataset, file_bytes: int, name: str, *, assume_hu: bool) -> None:
    """Check by the header that the stored values can become HU without a guess.

    Args:
        dataset: The header, with or without pixels.
        file_bytes: The file's size.
        name: Case and file, for messages.
        assume_hu: Take stored values for HU where no rescale is given, and a rescale of another type for one to HU.

    Raises:
        InputError: PE-DCM-022 truncated, or bits that cannot be, PE-DCM-018 colour or inverted, PE-DCM-013 eight bits,
            PE-DCM-009 no rescale, PE-DCM-010 a rescale to something else.
    """
    syntax = transfer_syntax(dataset)
    try:
        compressed = syntax.is_compressed
    except ValueError as error:
        raise damaged_pixels(name, f"TransferSyntaxUID is {syntax!s:.80}, which is none") from error
    unreadable = [keyword for keyword in _COUNTS if is_unreadable(dataset, keyword)]
    if unreadable:
        raise damaged_pixels(name, f"no numbers in {', '.join(unreadable)}")
    missing = [k for k in ("Rows", "Columns", "BitsAllocated") if not number_of(dataset, k)]
    if missing:
        raise damaged_pixels(name, f"no {', '.join(missing)}")
    require_plausible_pixels(dataset, file_bytes, name)
    needed = pixel_bytes(dataset)
    if file_bytes < needed and not (compressed or syntax == DeflatedExplicitVRLittleEndian):
        raise damaged_pixels(name, f"{file_bytes} bytes, expected over {needed}")
    samples, photometric = (
        int(number_of(dataset, "SamplesPerPixel") or 1),
        text_of(dataset, "PhotometricInterpretation"),
    )
    if samples != 1 or photometric not in {"MONOCHROME2", ""}:
        raise InputError(
            "PE-DCM-018",
            f"{name} is {photometric or 'of unknown colour'} with {samples} value(s) a pixel, expected MONOCHROME2",
            "export the original CT images, not captures",
        )
    bits = bits_of(dataset, name)
    if bits.stored < MIN_BITS:
        raise _few_bits(bits.stored, dataset, name)
    for frame in range(frames_of(dataset)):
        _require_rescale(rescale_of(dataset, frame), dataset, name, assume_hu=assume_hu)


def bits_of(dataset: pydicom.Dataset, name: str) -> StoredBits:
    """Which bits of a word are the value of a pixel.

    Raises:
        InputError: PE-DCM-022 if the header says what cannot be.
    """
    syntax = transfer_syntax(dataset)
    try:
        return stored_bits(dataset, words=not syntax.is_compressed or syntax == RLELossless)
    except ValueError as error:
        raise damaged_pixels(name, error) from error


def _require_rescale(rescale: Rescale, dataset: pydicom.Dataset, name: str, *, assume_hu: bool) -> None:
    slope, intercept, kind = rescale
    if slope is None or intercept is None:
        usable, found = assume_hu, " but a ModalityLUTSequence" if "ModalityLUTSequence" in dataset else ""
    else:
        usable = _POSSIBLE_SLOPE[0] <= slope <= _POSSIBLE_SLOPE[1] and abs(intercept) <= MAX_INTERCEPT
        found = f", got {slope:g} and {intercept:g}"
    if not usable:
        raise InputError(
            "PE-DCM-009",
            f"{name} has no usable RescaleSlope and RescaleIntercept{found}",
            "export the original images, or, if the values are HU already, pass --assume-hu",
        )
    if kind not in {"", "HU"} and not assume_hu:
        raise InputError(
            "PE-DCM-010",
            f"{name} rescales to {kind!r}, expected HU",
            "if the values are HU nevertheless, pass --assume-hu",
        )


def rescale_of(dataset: pydicom.Dataset, frame: int) -> Rescale:
    """Slope, intercept and RescaleType of a frame; None where both are absent, NaN where one is, or is no number."""
    for source in frame_sources(dataset, frame, "PixelValueTransformationSequence"):
        if any(is_unreadable(source, keyword) for keyword in ("RescaleSlope", "RescaleIntercept")):
            return math.nan, math.nan, text_of(source, "RescaleType").upper()
        slope, intercept = number_of(source, "RescaleSlope"), number_of(source, "RescaleIntercept")
        if (slope is None) != (intercept is None):
            return math.nan, math.nan, text_of(source, "RescaleType").upper()
        if slope is not None and intercept is not None:
            return slope, intercept, text_of(source, "RescaleType").upper()
    return None, None, text_of(dataset, "RescaleType").upper()


def decoded_hu(
    dataset: pydicom.Dataset, s: Slice, rescale: Rescale, name: str, into: npt.NDArray[np.int32] | None = None
) -> npt.NDArray[Any]:
    """Decode one slice and rescale it.

    Args:
        dataset: The whole file.
        s: The slice; its file is read again where GDCM decodes it.
        rescale: Of the slice.
        name: Case and file, for messages.
        into: Memory for the result where it is int32, for the next slice to overwrite: a new megabyte for each slice
            costs more than the work on it.

    Returns:
        HU as (rows, columns), before padding is replaced: int32 where slope and intercept are whole, else float64.

    Raises:
        InputError: PE-DCM-022 if the pixel data are truncated or damaged, PE-DCM-028 if they contradict the header,
            PE-DCM-013 if their stream holds eight bits.
        MissingExtraError: PE-DCM-014 if nothing here decodes the transfer syntax.
    """
    syntax = transfer_syntax(dataset)
    if syntax.is_compressed:
        frame = frame_bytes(dataset, s.frame)
        stream = codestream_of(frame)
        if stream is not None and stream.bits < MIN_BITS:  # compressed for viewing, and the header left as it was
            raise _few_bits(stream.bits, dataset, name)
        if found := (surplus_frames(dataset) if s.frame == 0 else "") or contradiction(dataset, frame):
            raise _contradicting(name, found)
    else:
        _require_length(dataset, name)
    if syntax.is_compressed and not _pydicom_decodes(syntax):
        if not frame:  # GDCM would take the bytes for voxels that are not compressed
            raise damaged_pixels(name, f"no stream of {syntax.name}")
        return _decoded_by_gdcm(dataset, s, name)  # rescaled already
    try:
        if not text_of(dataset.file_meta, "TransferSyntaxUID"):
            dataset.file_meta.TransferSyntaxUID = syntax
        words_as_they_are: Any = {"raw": True, "correct_unused_bits": False}
        stored, _ = get_decoder(syntax).as_array(dataset, index=s.frame, **words_as_they_are)
    except Exception as error:  # decoders raise whatever they like
        raise damaged_pixels(name, error) from error
    try:
        values = bits_of(dataset, name).values(stored, into)
    except ValueError as error:
        raise _contradicting(name, error) from error
    return _rescaled(values, rescale)


def _require_length(dataset: pydicom.Dataset, name: str) -> None:
    """Check that uncompressed pixel data are as long as the header says, but for a few zeros behind them."""
    expected, content = pixel_bytes(dataset), dataset.PixelData
    behind = content[expected:]
    if len(content) >= expected and len(behind) <= MAX_PADDING_BYTES and not any(behind):
        return
    said = ", ".join(
        f"{keyword} {number:g}"
        for keyword in ("Rows", "Columns", "BitsAllocated", "NumberOfFrames")
        if (number := number_of(dataset, keyword)) is not None
    )
    text = f"{len(content)} bytes of pixels, expected {expected} ({said})"
    raise damaged_pixels(name, text) if len(content) < expected else _contradicting(name, text)


def padding_hu(dataset: pydicom.Dataset, rescale: Rescale) -> float | None:
    """PixelPaddingValue in HU, with the sign of the pixels whatever its own, shifted as they are; None if absent."""
    padding = padding_word(dataset)
    if padding is None:
        return None
    signed = number_of(dataset, "PixelRepresentation") == 1
    if signed and padding > 32767:
        padding -= 65536
    elif not signed and padding < 0:
        padding += 65536
    bits = bits_of(dataset, "")
    if bits.shift:
        with suppress(ValueError):  # it uses the bits below the value: no word, but a value
            padding = int(bits.values(np.array([[padding]]))[0, 0])
    return float(_rescaled(np.array(padding), rescale))


def _pydicom_decodes(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _decoded_by_gdcm(dataset: pydicom.Dataset, s: Slice, name: str) -> npt.NDArray[Any]:
    """HU by GDCM, which applies slope and intercept itself where the file has them."""
    missing = MissingExtraError(
        "PE-DCM-014",
        f"{name} cannot be decoded here ({transfer_syntax(dataset).name})",
        "pip install 'pe-nnunet[codecs]'",
    )
    if frames_of(dataset) > 1:
        raise missing
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(name_for_itk(s.file))
    try:
        pixels = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        if transfer_syntax(dataset) not in _GDCM_DECODES:
            raise missing from error
        raise InputError(
            "PE-DCM-022",
            f"the pixel data of {name} cannot be decoded ({transfer_syntax(dataset).name}): damaged, or of a rare kind",
            "copy or export the file again; if it opens elsewhere, pip install 'pe-nnunet[codecs]' decodes more",
        ) from error
    if pixels.shape != (1, s.rows, s.columns):
        raise damaged_pixels(name, f"decoded to shape {pixels.shape}, expected (1, {s.rows}, {s.columns})")
    plane: npt.NDArray[Any] = pixels[0].astype(np.int32 if pixels.dtype.kind in "iu" else np.float64)
    return plane


def _rescaled(stored: npt.NDArray[Any], rescale: Rescale) -> npt.NDArray[Any]:
    """HU; in place where slope and intercept are whole."""
    slope, intercept, _ = rescale
    if slope is None or intercept is None:
        return stored
    if float(slope).is_integer() and float(intercept).is_integer():
        if slope != 1:
            stored *= int(slope)
        if intercept != 0:
            stored += int(intercept)
        return stored
    return stored * slope + intercept


def _few_bits(bits: int, dataset: pydicom.Dataset, name: str) -> InputError:
    return InputError(
        "PE-DCM-013",
        f"{name} stores {bits} bits a pixel ({transfer_syntax(dataset).name}), expected 12 or 16: its HU are lost",
        "export the original images without lossy compression",
    )


def damaged_pixels(name: str, reason: object) -> InputError:
    """The error for pixel data that are not whole."""
    first = (str(reason).strip().splitlines() or [""])[0]
    return InputError(
        "PE-DCM-022", f"the pixel data of {name} are truncated or damaged: {first}", "copy or export the file again"
    )


def _contradicting(name: str, reason: object) -> InputError:
    return InputError(
        "PE-DCM-028", f"the header of {name} contradicts its pixel data: {reason}", "export the original images"
    )
