"""Uncompressed pixels straight from a file's bytes: as pydicom decodes them, and left to it where anything is odd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import read_scan
from pe_nnunet.volumes.dicom import series as dicom
from pe_nnunet.volumes.dicom.headers import read_header
from pe_nnunet.volumes.dicom.native import native_frames

Rewrite = Callable[[pydicom.Dataset], None]


@pytest.fixture
def slice_file(make_series) -> Path:
    """One uncompressed slice."""
    return make_series() / "IM00004.dcm"


def frames_of_file(path: Path) -> np.ndarray | None:
    header = read_header(path)
    assert header is not None
    return native_frames(header[0], path.read_bytes(), header[1])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.filterwarnings("ignore:.*excess padding")
@pytest.mark.parametrize("behind", [b"", bytes(6)], ids=["whole", "padded"])
def test_the_same_as_pydicom_decodes(slice_file: Path, syntax: str, signed: bool, behind: bytes) -> None:
    dataset = pydicom.dcmread(slice_file)
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData += behind  # some writers pad the element
    dataset.add_new(0xFFFCFFFC, "OB", bytes(20))  # trailing padding
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(slice_file, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    frames = frames_of_file(slice_file)
    assert frames is not None
    decoded = pydicom.dcmread(slice_file).pixel_array
    assert frames.dtype == decoded.dtype
    assert np.array_equal(frames, decoded[None])


def test_every_frame_of_a_file(thorax, tmp_path: Path, write_enhanced) -> None:
    dataset = write_enhanced(thorax, tmp_path / "multi.dcm")
    assert np.array_equal(frames_of_file(tmp_path / "multi.dcm"), dataset.pixel_array)


@pytest.mark.filterwarnings("ignore:Expected .* VR")
@pytest.mark.parametrize("declared", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_elements_that_are_not_encoded_as_declared(slice_file: Path, declared: str) -> None:
    dataset = pydicom.dcmread(slice_file)
    expected = dataset.pixel_array
    dataset.file_meta.TransferSyntaxUID = declared
    implicit = declared == ExplicitVRLittleEndian
    pydicom.dcmwrite(slice_file, dataset, implicit_vr=implicit, little_endian=True, force_encoding=True)
    assert pydicom.dcmread(slice_file).file_meta.TransferSyntaxUID == declared
    assert np.array_equal(frames_of_file(slice_file), expected[None])


def _big_endian(dataset: pydicom.Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()


def _deflated(dataset: pydicom.Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def _without(keyword: str) -> Rewrite:
    return lambda dataset: dataset.__delattr__(keyword)


def _with(keyword: str, value: object) -> Rewrite:
    return lambda dataset: dataset.__setattr__(keyword, value)


@pytest.mark.parametrize(
    "edit",
    [
        _big_endian,
        _deflated,
        *map(_without, ("PixelData", "PixelRepresentation", "SamplesPerPixel")),
        *map(_without, ("PhotometricInterpretation", "BitsStored")),
        _with("PixelData", bytes(100)),
        _with("BitsAllocated", 32),
        _with("BitsStored", 17),
        _with("PixelRepresentation", 7),
        _with("SamplesPerPixel", 3),
        _with("Rows", 21),
    ],
)  # fmt: skip
def test_everything_else_is_left_to_pydicom(slice_file: Path, edit: Rewrite) -> None:
    dataset = pydicom.dcmread(slice_file)
    edit(dataset)
    little = dataset.file_meta.TransferSyntaxUID != ExplicitVRBigEndian
    pydicom.dcmwrite(slice_file, dataset, implicit_vr=False, little_endian=little, force_encoding=not little)
    assert frames_of_file(slice_file) is None


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelRepresentation", None), ("SamplesPerPixel", None), ("BitsStored", 17), ("PixelData", bytes(958))],
)
def test_what_pydicom_refuses_is_refused(make_series, only, keyword: str, value: object) -> None:
    def edit(dataset: pydicom.Dataset, k: int) -> None:
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
            dataset.add_new(0xFFFCFFFC, "OB", bytes(50))  # the file's length is no evidence

    with pytest.raises(InputError, match=r"PE-DCM-022: the pixel data of scan: IM00001.dcm are"):
        read_scan(only(make_series(edit=edit)))


def test_an_uncompressed_file_is_parsed_once(make_series, only, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = only(make_series())
    monkeypatch.setattr(dicom, "read_dataset", None)
    assert read_scan(ref).image.GetSize() == (24, 20, 8)
