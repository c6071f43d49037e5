"""Compressed DICOM as archives keep it, single-frame and multi-frame, with codestreams that the tests encode."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pe_nnunet.errors import InputError, MissingExtraError
from pe_nnunet.volumes import read_scan, require_same_grid
from pe_nnunet.volumes.dicom import pixels as dicom_pixels

AIR = 1024  # stored values are HU above this, unsigned, in 12 bits
LOSSY_WORST_HU = 10


@pytest.fixture(params=["pydicom", "SimpleITK"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Decode by pydicom's plugins, or, as where none is installed, by the GDCM in SimpleITK."""
    if request.param == "SimpleITK":
        monkeypatch.setattr(dicom_pixels, "_pydicom_decodes", lambda syntax: False)
    return request.param


def jpeg_lossless(stored: np.ndarray) -> bytes:
    """By liblj92, which predicts by selection value 6: a stream of .57 that is none of .70."""
    codecs = pytest.importorskip("imagecodecs", reason="encodes lossless JPEG; nnU-Net brings it")
    stream = codecs.ljpeg_encode(np.ascontiguousarray(stored), bitspersample=12)
    at = stream.index(b"\xff\xda")  # start of scan: length, components, id and tables, selection value
    assert stream[at + 7] == 6
    return bytes(stream)


def jpeg_2000(stored: np.ndarray, *, lossy: bool) -> bytes:
    """By OpenJPEG; where lossy, to 90 dB of 65535: 2 HU are the root mean square of the error."""
    stream = io.BytesIO()
    options = {"irreversible": True, "quality_mode": "dB", "quality_layers": [90]} if lossy else {}
    Image.fromarray(stored).save(stream, format="JPEG2000", no_jp2=True, **options)
    return stream.getvalue()


def jpeg_8_bit(stored: np.ndarray) -> bytes:
    """What an export for viewing makes of a slice."""
    stream = io.BytesIO()
    Image.fromarray((np.clip(stored - AIR + 160, 0, 400) * 255 // 400).astype(np.uint8)).save(stream, format="JPEG")
    return stream.getvalue()


def unsigned(ds: pydicom.Dataset) -> np.ndarray:
    """The pixels of a data set made unsigned, 12 bits, as most scanners store them: (frames, rows, columns)."""
    stored = (ds.pixel_array.astype(np.int32) + AIR).astype(np.uint16).reshape(-1, ds.Rows, ds.Columns)
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
    for item in [ds, *(f.PixelValueTransformationSequence[0] for f in ds.get("PerFrameFunctionalGroupsSequence", []))]:
        if "RescaleIntercept" in item:
            item.RescaleIntercept = float(item.RescaleIntercept) - AIR
    return stored


def replace(ds: pydicom.Dataset, frames: list[bytes], syntax: str) -> None:
    """Put encoded frames in the place of the pixels."""
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = pydicom.encaps.encapsulate(frames)
    ds["PixelData"].is_undefined_length = True


def worst_hu(scan, thorax: sitk.Image) -> int:
    require_same_grid(thorax, scan.image, "what was read")
    read, expected = (sitk.GetArrayFromImage(image).astype(int) for image in (scan.image, thorax))
    return int(np.abs(read - expected).max())


def test_jpeg_lossless_of_any_prediction(make_series, only, thorax: sitk.Image, decoder: str) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        replace(ds, [jpeg_lossless(unsigned(ds)[0])], JPEGLossless)

    assert worst_hu(read_scan(only(make_series(edit=edit))), thorax) == 0


def test_lossy_jpeg_2000(make_series, only, thorax: sitk.Image, decoder: str) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        replace(ds, [jpeg_2000(unsigned(ds)[0], lossy=True)], JPEG2000)
        ds.BitsStored, ds.HighBit = 16, 15  # as the stream has them
        ds.LossyImageCompression = "01"

    scan = read_scan(only(make_series(edit=edit)))
    assert 0 < worst_hu(scan, thorax) <= LOSSY_WORST_HU


def test_lossless_stream_under_the_syntax_of_lossy(make_series, only, thorax: sitk.Image, decoder: str) -> None:
    """.91 may be lossless too, and archives write it so."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        replace(ds, [jpeg_2000(unsigned(ds)[0], lossy=False)], JPEG2000)
        ds.BitsStored, ds.HighBit = 16, 15

    assert worst_hu(read_scan(only(make_series(edit=edit))), thorax) == 0


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG2000, JPEGLSLossless, RLELossless, JPEGLossless])
def test_multi_frame(only, thorax: sitk.Image, tmp_path, write_enhanced, syntax: str) -> None:
    """Frames in any order, each with its own rescale."""
    if not dicom_pixels._pydicom_decodes(syntax):
        pytest.skip(f"no plugin of pydicom decodes {syntax.name} here")
    path = tmp_path / "multi.dcm"
    ds = write_enhanced(thorax, path)
    stored = unsigned(ds)
    if syntax == JPEGLossless:
        replace(ds, [jpeg_lossless(frame) for frame in stored], syntax)
    elif syntax in {JPEG2000Lossless, JPEG2000}:
        replace(ds, [jpeg_2000(frame, lossy=syntax == JPEG2000) for frame in stored], syntax)
        ds.BitsStored, ds.HighBit = 16, 15
    else:
        ds.compress(syntax, arr=stored, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)
    assert pydicom.dcmread(path).NumberOfFrames == 8
    worst = worst_hu(read_scan(only(path)), thorax)
    assert 0 < worst <= LOSSY_WORST_HU if syntax == JPEG2000 else worst == 0


@pytest.mark.parametrize("damage", [slice(None, 300), slice(600, None)])
def test_a_damaged_stream_is_called_damaged_whatever_decodes_it(
    make_series, only, thorax: sitk.Image, decoder: str, damage: slice
) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        stream = jpeg_2000(unsigned(ds)[0], lossy=False)
        replace(ds, [stream[damage] if k == 3 else stream], JPEG2000Lossless)
        ds.BitsStored, ds.HighBit = 16, 15

    with pytest.raises(InputError, match="PE-DCM-022"):
        read_scan(only(make_series(edit=edit)))


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1, JPEG2000])
def test_multi_frame_that_nothing_decodes_names_the_package(
    only, thorax: sitk.Image, tmp_path, write_enhanced, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    monkeypatch.setattr(dicom_pixels, "_pydicom_decodes", lambda syntax: False)
    ds = write_enhanced(thorax, tmp_path / "multi.dcm")
    replace(ds, [b"\xff\xd8\xff\xd9"] * 8, syntax)
    ds.save_as(tmp_path / "multi.dcm", enforce_file_format=True)
    with pytest.raises(MissingExtraError, match=r"PE-DCM-014.*multi.dcm.*pe-nnunet\[codecs\]"):
        read_scan(only(tmp_path / "multi.dcm"))


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
@pytest.mark.parametrize("multi_frame", [False, True])
def test_jpeg_of_8_bits_is_refused(
    make_series, only, thorax: sitk.Image, tmp_path, write_enhanced, syntax: str, multi_frame: bool
) -> None:
    def edit(ds: pydicom.Dataset, k: int = 0) -> None:
        replace(ds, [jpeg_8_bit(frame) for frame in unsigned(ds)], syntax)
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7

    path = tmp_path / "multi.dcm"
    if multi_frame:
        ds = write_enhanced(thorax, path)
        edit(ds)
        ds.save_as(path, enforce_file_format=True)
    with pytest.raises(InputError, match=r"PE-DCM-013.*8 bits a pixel \(JPEG"):
        read_scan(only(path if multi_frame else make_series(edit=edit)))


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
def test_jpeg_of_8_bits_under_a_header_of_12_is_refused(make_series, only, decoder: str, syntax: str) -> None:
    """Some exports compress for viewing and leave the header as it was."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        replace(ds, [jpeg_8_bit(unsigned(ds)[0])], syntax)

    with pytest.raises(InputError, match=r"PE-DCM-013.*IM00001.dcm stores 8 bits"):
        read_scan(only(make_series(edit=edit)))
