"""Pixels of one DICOM slice to Hounsfield units.

Uncompressed, RLE and deflated data are decoded by pydicom; JPEG, JPEG-LS and JPEG 2000 by pydicom where a plugin is
installed, else by the GDCM inside SimpleITK. Both agree on the transfer syntaxes that the tests hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pe_nnunet.errors import InputError, MissingExtraError
from pe_nnunet.volumes.dicom_headers import text_of
from pe_nnunet.volumes.dicom_slices import Slice


def require_ct_pixels(dataset: pydicom.Dataset, name: str, *, assume_hu: bool) -> None:
    """Check by the header that the stored values can become HU without a guess.

    Args:
        dataset: The header, with or without pixels.
        name: Case and file, for messages.
        assume_hu: Take stored values for HU where no rescale is given, and a rescale of another type for one to HU.

    Raises:
        InputError: PE-DCM-018 colour or inverted, PE-DCM-013 eight bits, PE-DCM-009 no rescale, PE-DCM-010 not to HU.
    """
    samples, photometric = int(dataset.get("SamplesPerPixel") or 1), text_of(dataset, "PhotometricInterpretation")
    if samples != 1 or photometric not in {"MONOCHROME2", ""}:
        raise InputError(
            "PE-DCM-018",
            f"{name} is {photometric or 'of unknown colour'} with {samples} sample(s) a pixel, expected MONOCHROME2 with one",
            "export the original CT images, not captures",
        )
    bits = int(dataset.get("BitsStored") or 16)
    if bits <= 8:
        raise InputError(
            "PE-DCM-013",
            f"{name} stores {bits} bits a pixel ({transfer_syntax(dataset).name}), expected 12 or 16: HU are lost",
            "export the original images without lossy compression",
        )
    slope, intercept, kind = rescale_of(dataset, 0)
    if (slope is None or intercept is None) and not assume_hu:
        raise InputError(
            "PE-DCM-009",
            f"{name} has no RescaleSlope and RescaleIntercept",
            "if its values are HU already, pass --assume-hu",
        )
    if slope == 0:
        raise InputError("PE-DCM-009", f"{name} has RescaleSlope 0", "export the original images")
    if kind not in {"", "HU"} and not assume_hu:
        raise InputError(
            "PE-DCM-010",
            f"{name} rescales to {kind!r}, expected HU",
            "if its values are HU nevertheless, pass --assume-hu",
        )


def rescale_of(dataset: pydicom.Dataset, frame: int) -> tuple[float | None, float | None, str]:
    """Slope, intercept and RescaleType of a frame; None where they are absent."""
    sources = [dataset]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*per_frame[frame : frame + 1], *shared[:1]]:
        sources = [*(group.get("PixelValueTransformationSequence") or [])[:1], *sources]
    for source in sources:
        try:
            slope, intercept = source.get("RescaleSlope"), source.get("RescaleIntercept")
            if slope is not None and intercept is not None:
                return float(slope), float(intercept), text_of(source, "RescaleType").strip().upper()
        except (TypeError, ValueError):
            continue
    return None, None, text_of(dataset, "RescaleType").strip().upper()


def slice_hu(dataset: pydicom.Dataset, s: Slice, name: str) -> npt.NDArray[np.float64]:
    """Decode one slice and rescale it.

    Args:
        dataset: The whole file.
        s: The slice; its file is read again where GDCM decodes it.
        name: Case and file, for messages.

    Returns:
        HU as (rows, columns), before padding is replaced.

    Raises:
        InputError: PE-DCM-022 if the pixel data are truncated or damaged.
        MissingExtraError: PE-DCM-014 if nothing here decodes the transfer syntax.
    """
    slope, intercept, _ = rescale_of(dataset, s.frame)
    syntax = transfer_syntax(dataset)
    if syntax.is_compressed and not _pydicom_decodes(syntax):
        return _by_gdcm(dataset, s, name, slope, intercept)
    try:
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = syntax
        stored = dataset.pixel_array
    except Exception as error:  # decoders raise whatever they like
        raise _damaged(name, error) from error
    if stored.ndim == 3:
        stored = stored[s.frame]
    return _whole_bits(stored, dataset).astype(np.float64) * (1.0 if slope is None else slope) + (intercept or 0.0)


def padding_hu(dataset: pydicom.Dataset, frame: int) -> float | None:
    """PixelPaddingValue in HU, read with the sign of the pixels whatever sign it was written with; None if absent."""
    try:
        value = dataset.get("PixelPaddingValue")
        padding = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    except (TypeError, ValueError):
        return None
    if dataset.get("PixelRepresentation") == 1 and padding > 32767:
        padding -= 65536
    elif dataset.get("PixelRepresentation") == 0 and padding < 0:
        padding += 65536
    slope, intercept, _ = rescale_of(dataset, frame)
    return padding * (1.0 if slope is None else slope) + (intercept or 0.0)


def transfer_syntax(dataset: pydicom.Dataset) -> UID:
    """The transfer syntax; where the file has no meta header, what pydicom found when it read the elements."""
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax:
        return UID(syntax)
    implicit = dataset.original_encoding[0]
    return ImplicitVRLittleEndian if implicit or implicit is None else ExplicitVRLittleEndian


def _pydicom_decodes(syntax: UID) -> bool:
    from pydicom.pixels import get_decoder

    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _by_gdcm(
    dataset: pydicom.Dataset, s: Slice, name: str, slope: float | None, intercept: float | None
) -> npt.NDArray[np.float64]:
    """GDCM applies slope and intercept itself, where the file has them."""
    syntax = transfer_syntax(dataset)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(s.file))
    try:
        if int(dataset.get("NumberOfFrames") or 1) > 1:
            raise RuntimeError("compressed multi-frame files need a plugin of pydicom")
        pixels = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise MissingExtraError(
            "PE-DCM-014", f"{name} cannot be decoded ({syntax.name})", "pip install 'pe-nnunet[codecs]'"
        ) from error
    if pixels.shape != (1, s.rows, s.columns):
        raise _damaged(name, f"decoded to shape {pixels.shape}, expected (1, {s.rows}, {s.columns})")
    return pixels[0].astype(np.float64)


def _whole_bits(stored: npt.NDArray[np.generic], dataset: pydicom.Dataset) -> npt.NDArray[np.int32]:
    """Stored values without what older scanners keep in the unused high bits (overlays), and with their sign."""
    bits, allocated = int(dataset.get("BitsStored") or 16), int(dataset.get("BitsAllocated") or 16)
    values = stored.astype(np.int32)
    if bits >= allocated:
        return values
    values &= (1 << bits) - 1
    if dataset.get("PixelRepresentation") == 1:
        values -= (values >> (bits - 1)) << bits
    return values


def _damaged(name: str, reason: object) -> InputError:
    first = (str(reason).strip().splitlines() or [""])[0]
    return InputError(
        "PE-DCM-022", f"the pixel data of {name} are truncated or damaged: {first}", "copy or export the file again"
    )
