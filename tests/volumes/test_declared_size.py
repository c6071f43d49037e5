"""Headers that name more than their file can hold: refused before anything is allocated, inflated or listed."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.volumes import find_scans, read_scan, write_dicom_series
from pe_nnunet.volumes.readers import read_mat

SIZES = "512 512 8000"  # 4 GB of int16


def read(path: Path) -> None:
    read_scan(find_scans(path)[0])


def test_compressed_volume_files(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((512, 512, 8000))
    header.set_data_dtype(np.int16)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    few = bytes(1000)
    files = {
        "a.nii.gz": gzip.compress(header.binaryblock + bytes(4) + few),
        "a.nrrd": f"NRRD0004\ntype: short\ndimension: 3\nsizes: {SIZES}\nencoding: gzip\nendian: little\n\n".encode()
        + gzip.compress(few),
        "a.mha": b"ObjectType = Image\nNDims = 3\nDimSize = " + SIZES.encode() + b"\nElementType = MET_SHORT\n"
        b"CompressedData = True\nElementDataFile = LOCAL\n" + zlib.compress(few),
    }  # fmt: skip
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"PE-IN-009: .*512x512x8000 voxels"):
            read(path)


def test_what_compresses_best_is_read(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.full((40, 64, 64), -1000, np.int16))
    for name in ("a.nii.gz", "b.nrrd", "c.mha"):
        sitk.WriteImage(image, str(tmp_path / name), useCompression=True)
        (ref,) = find_scans(tmp_path / name)
        assert read_scan(ref, assume_hu=True).image.GetSize() == (64, 64, 40)


def test_a_matlab_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("mask", (100_000, 1000, 100), np.uint8, chunks=(10, 100, 100), compression="gzip")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    with pytest.raises(InputError, match="PE-IN-009"):
        read_mat(path, "mask")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian])
def test_ten_million_frames_in_a_small_file(tmp_path: Path, syntax: UID, thorax: sitk.Image) -> None:
    file = _slice(thorax, tmp_path)
    dataset = pydicom.dcmread(file)
    dataset.NumberOfFrames = 10_000_000
    if syntax.is_encapsulated:
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(6000)])
        dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(file)
    with pytest.raises(InputError, match=r"PE-IN-009: .*10000000 frames"):
        read(file)


def test_deflated_files_are_read_as_far_as_their_header_says(tmp_path: Path, thorax: sitk.Image) -> None:
    file = _slice(thorax, tmp_path)
    before = read_scan(find_scans(file)[0]).image
    dataset = pydicom.dcmread(file)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(file)
    after = read_scan(find_scans(file)[0]).image
    assert np.array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))

    raw = file.read_bytes()
    end = 144 + struct.unpack_from("<I", raw, 140)[0]
    plain = zlib.decompress(raw[end:], -zlib.MAX_WBITS)
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    file.write_bytes(raw[:end] + deflate.compress(plain) + deflate.compress(bytes(100 << 20)) + deflate.flush())
    with pytest.raises(InputError, match=r"PE-IN-009: .*follow"):
        read(file)


def test_a_checkpoint_that_unpacks_to_much_more(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10 << 20))
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-003: .*unpacks to 10485760 bytes"):
        read_checkpoint(tmp_path / "a.pth")


def _slice(image: sitk.Image, folder: Path) -> Path:
    write_dicom_series(image[:, :, 3:4], folder / "series", patient_id="p")
    return next((folder / "series").iterdir())
