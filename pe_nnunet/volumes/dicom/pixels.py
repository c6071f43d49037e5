"""Pixels of one DICOM slice to Hounsfield units.

Uncompressed, RLE and deflated data are decoded by pydicom; JPEG, JPEG-LS and JPEG 2000 by pydicom where a plugin is
installed, else by the GDCM inside SimpleITK.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from pe_nnunet.errors import InputError, MissingExtraError
from pe_nnunet.volumes.dicom.headers import number_of, text_of, transfer_syntax, value_of
from pe_nnunet.volumes.dicom.slice_positions import Slice, frame_sources, frames_of
from pe_nnunet.volumes.files.file_checks import name_for_itk

Rescale = tuple[float | None, float | None, str]  # slope, intercept, RescaleType

MIN_BITS = 9  # 8 bits cannot hold HU: such files come from lossy exports and decode without an error


def require_ct_pixels(dataset: pydicom.Dataset, file_bytes: int, name: str, *, assume_hu: bool) -> None:
    """Check by the header that the stored values can become HU without a guess.

    Args:
        dataset: The header, with or without pixels.
        file_bytes: The file's size.
        name: Case and file, for messages.
        assume_hu: Take stored values for HU where no rescale is given, and a rescale of another type for one to HU.

    Raises:
        InputError: PE-DCM-022 truncated, PE-DCM-018 colour or inverted, PE-DCM-013 eight bits, PE-DCM-009 no rescale,
            PE-DCM-010 a rescale to something else.
    """
    missing = [k for k in ("Rows", "Columns", "BitsAllocated") if not number_of(dataset, k)]
    if missing:
        raise damaged_pixels(name, f"no {', '.join(missing)}")
    needed = _uncompressed_bytes(dataset)
    if file_bytes < needed:
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
    bits = int(number_of(dataset, "BitsStored") or 16)
    if bits < MIN_BITS:
        raise _few_bits(bits, dataset, name)
    slope, intercept, kind = rescale_of(dataset, 0)
    if slope == 0 or ((slope is None or intercept is None) and not assume_hu):
        raise InputError(
            "PE-DCM-009",
            f"{name} has no usable RescaleSlope and RescaleIntercept",
            "export the original images, or, if the values are HU already, pass --assume-hu",
        )
    if kind not in {"", "HU"} and not assume_hu:
        raise InputError(
            "PE-DCM-010",
            f"{name} rescales to {kind!r}, expected HU",
            "if the values are HU nevertheless, pass --assume-hu",
        )


def rescale_of(dataset: pydicom.Dataset, frame: int) -> Rescale:
    """Slope, intercept and RescaleType of a frame; None where they are absent."""
    for source in frame_sources(dataset, frame, "PixelValueTransformationSequence"):
        slope, intercept = number_of(source, "RescaleSlope"), number_of(source, "RescaleIntercept")
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
        InputError: PE-DCM-022 if the pixel data are truncated or damaged, PE-DCM-013 if their stream holds eight bits.
        MissingExtraError: PE-DCM-014 if nothing here decodes the transfer syntax.
    """
    syntax = transfer_syntax(dataset)
    if syntax.is_compressed:
        bits = stream_bits(dataset, s.frame, frames_of(dataset))
        if bits is not None and bits < MIN_BITS:  # compressed for viewing, and the header left as it was
            raise _few_bits(bits, dataset, name)
    if syntax.is_compressed and not _pydicom_decodes(syntax):
        return _decoded_by_gdcm(dataset, s, name)  # rescaled already
    try:
        if not text_of(dataset.file_meta, "TransferSyntaxUID"):
            dataset.file_meta.TransferSyntaxUID = syntax
        stored = dataset.pixel_array
        if stored.ndim == 3:
            stored = stored[s.frame]
    except Exception as error:  # decoders raise whatever they like
        raise damaged_pixels(name, error) from error
    return _rescaled(_whole_bits(stored, dataset, into), rescale)


def padding_hu(dataset: pydicom.Dataset, rescale: Rescale) -> float | None:
    """PixelPaddingValue in HU, with the sign of the pixels whatever sign it was written with; None if absent."""
    value = value_of(dataset, "PixelPaddingValue")
    try:
        padding = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return None
    signed = number_of(dataset, "PixelRepresentation") == 1
    if signed and padding > 32767:
        padding -= 65536
    elif not signed and padding < 0:
        padding += 65536
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
        raise missing from error
    if pixels.shape != (1, s.rows, s.columns):
        raise damaged_pixels(name, f"decoded to shape {pixels.shape}, expected (1, {s.rows}, {s.columns})")
    plane: npt.NDArray[Any] = pixels[0].astype(np.int32 if pixels.dtype.kind in "iu" else np.float64)
    return plane


def _whole_bits(
    stored: npt.NDArray[Any], dataset: pydicom.Dataset, into: npt.NDArray[np.int32] | None
) -> npt.NDArray[Any]:
    """Stored values without what older scanners keep in the unused high bits (overlays), and with their sign."""
    bits, allocated = (int(number_of(dataset, keyword) or 16) for keyword in ("BitsStored", "BitsAllocated"))
    values = np.empty(stored.shape, np.int32) if into is None else into
    values[...] = stored
    if bits >= allocated:
        return values
    values &= (1 << bits) - 1
    if number_of(dataset, "PixelRepresentation") == 1:
        values -= (values >> (bits - 1)) << bits
    return values


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


def _uncompressed_bytes(dataset: pydicom.Dataset) -> int:
    """What the pixels take up in a file that does not compress them; 0 otherwise."""
    syntax = transfer_syntax(dataset)
    if syntax.is_compressed or syntax == DeflatedExplicitVRLittleEndian:
        return 0
    rows, columns, bits = (int(number_of(dataset, k) or 0) for k in ("Rows", "Columns", "BitsAllocated"))
    return rows * columns * bits // 8 * frames_of(dataset)


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
