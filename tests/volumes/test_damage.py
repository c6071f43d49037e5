"""Damaged and hostile volume files: refused, never read as other voxels or from other files."""

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.volumes import read_file
from pe_nnunet.volumes.readers import read_mat, read_scan
from pe_nnunet.volumes.scan import ScanRef


@pytest.fixture
def ct():
    rng = np.random.default_rng(3)
    hu = rng.normal(-850, 30, (12, 20, 20))
    hu[:, 5:15, 5:15] = rng.normal(40, 20, (12, 10, 10))
    return sitk.GetImageFromArray(hu.astype(np.int16))


def hu_of(path):
    return sitk.GetArrayFromImage(read_scan(ScanRef("a", "file", path, (path,))).image)


COMPRESSED = [".nii.gz", ".nrrd", ".mha"]


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_no_flipped_bit_of_a_compressed_file_changes_a_voxel(ct, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(ct, str(path), useCompression=True)
    whole, content = sitk.GetArrayFromImage(ct), path.read_bytes()
    start = 10 if suffix == ".nii.gz" else content.index(b"\x78" if suffix == ".mha" else b"\x1f\x8b", 200)
    rng = np.random.default_rng(5)
    refused = 0
    for place in rng.integers(start, len(content), 150):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(hu_of(path), whole)
        except (InputError, GeometryError):
            refused += 1
    assert refused > 140


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_compressed_file_that_breaks_off_or_has_a_wrong_checksum(ct, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(ct, str(path), useCompression=True)
    content = path.read_bytes()
    for damaged in (content[:-1], content[:-5], content[:-4] + bytes(4), content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="PE-IN-003"):
            read_file(path)


def test_a_gzip_of_several_members_and_one_with_more_than_its_header_says(ct, tmp_path):
    plain = tmp_path / "a.nii"
    sitk.WriteImage(ct, str(plain))
    content, path = plain.read_bytes(), tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    np.testing.assert_array_equal(hu_of(path), sitk.GetArrayFromImage(ct))
    path.write_bytes(gzip.compress(content + bytes(5 << 20)))
    with pytest.raises(InputError, match=r"PE-IN-003.*more than"):
        read_file(path)


def test_values_far_outside_are_padding_if_they_are_few_and_damage_if_they_are_many(ct, tmp_path):
    hu = sitk.GetArrayFromImage(ct)
    path = tmp_path / "a.nii"
    hu[:, 0] = -20000
    hu[:, 1, ::2] = np.linspace(-4000, -1100, 10).astype(np.int16)  # as resampling smooths an edge of padding
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(path))
    assert hu_of(path).min() == -1422  # -1500 and less are padding
    hu[3:9, 2:8] = np.random.default_rng(0).integers(-32768, 32767, (6, 6, 20))
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(path))
    with pytest.raises(InputError, match=r"PE-HU-001.*damaged"):
        hu_of(path)


@pytest.mark.parametrize("spacing", [2e-38, 1e-5, 400.0, 1e30])
def test_voxels_of_no_possible_size(ct, tmp_path, spacing):
    path = tmp_path / "a.nii"
    sitk.WriteImage(ct, str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 76 + 4 * 3, spacing)
    struct.pack_into("<hh", content, 252, 1, 0)  # by the qform alone
    path.write_bytes(content)
    with pytest.raises((GeometryError, InputError), match=r"PE-NII-007|PE-IN-003"):
        read_file(path)


HEADER = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
NAMES = [
    "ElementDataFile = {}\n",
    " ElementDataFile = {}\n",
    "\tElementDataFile\t=\t{}\n",
    "ElementDataFile : {}\n",
    "ElementDataFile : {}\nElementDataFile = LOCAL\n",
    "ElementDataFile = LOCAL\nElementDataFile = {}\n",
    "Comment = x\rElementDataFile = {}\nElementDataFile = LOCAL\n",
    "{}\n",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_no_header_leads_out_of_its_folder(tmp_path, name, suffix):
    secret = tmp_path / "secret.raw"
    np.full(64, 77, np.int16).tofile(secret)
    (tmp_path / "in").mkdir()
    for target in ("../secret.raw", str(secret)):
        path = tmp_path / "in" / f"a{suffix}"
        path.write_bytes((HEADER + name.format(target)).encode() + bytes(10))
        with pytest.raises(InputError, match=r"PE-NII-011|PE-IN-00[23]"):
            read_file(path)


def test_nor_does_a_link_or_a_name_behind_a_long_comment(tmp_path):
    secret = tmp_path / "secret.raw"
    np.full(64, 77, np.int16).tofile(secret)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.raw").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    for name in ("link.raw", "linked/secret.raw"):
        (folder / "a.mhd").write_text(HEADER + f"ElementDataFile = {name}\n")
        with pytest.raises(InputError, match=r"PE-NII-011.*link"):
            read_file(folder / "a.mhd")
    nrrd = "NRRD0004\n{}type: int16\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: little\n{}data file: {}\n\n"
    for first, second in (("", "# x\n" * 20_000), ("# x\n" * 2_000_000, "")):
        (folder / "a.nrrd").write_text(nrrd.format(first, second, "../secret.raw"))
        with pytest.raises(InputError, match="PE-NII-011"):
            read_file(folder / "a.nrrd")
    (folder / "a.nrrd").write_text(nrrd.format("data file: own.raw\n", "", "../secret.raw"))
    with pytest.raises(InputError, match=r"PE-NII-011.*2 times"):
        read_file(folder / "a.nrrd")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="files of Unix")
def test_matlab_files_that_keep_a_variable_elsewhere(tmp_path):
    other, path = tmp_path / "other.h5", tmp_path / "a.mat"
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, 2, 3] = 1
    mask.tofile(tmp_path / "secret.raw")
    with h5py.File(other, "w") as file:
        file["m"] = mask
    layout = h5py.VirtualLayout(mask.shape, mask.dtype)
    layout[:] = h5py.VirtualSource(str(other), "m", mask.shape)
    ways = {
        "external link": lambda file: file.__setitem__("Mask", h5py.ExternalLink(str(other), "m")),
        "soft link": lambda file: (file.__setitem__("x", mask), file.__setitem__("Mask", h5py.SoftLink("/x"))),
        "external storage": lambda file: file.create_dataset(
            "Mask", mask.shape, mask.dtype, external=[(str(tmp_path / "secret.raw"), 0, mask.nbytes)]
        ),
        "virtual": lambda file: file.create_virtual_dataset("Mask", layout),
        "itself": lambda file: file.__setitem__("Mask", mask),
    }
    for what, way in ways.items():
        path.unlink(missing_ok=True)
        matlab(path, way)
        if what == "itself":
            assert read_mat(path, "Mask").sum() == 1
            continue
        with pytest.raises(InputError, match=r"PE-NII-011|PE-IN-003"):
            read_mat(path, "Mask")


def matlab(path: Path, way: Callable[[Any], object]) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        way(file)
    content = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + content[512:])
    return path


def test_matlab_files_that_lack_values(tmp_path):
    mask = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)

    def written(**how: Any) -> Callable[[Any], object]:
        return lambda file: file.create_dataset("Mask", data=mask, **how)

    def one_chunk(file: Any) -> None:
        file.create_dataset("Mask", mask.shape, mask.dtype, chunks=(3, 4, 1))[:, :, 0] = 1

    def short_chunk(file: Any) -> None:  # as when the pipeline's message is lost: packed bytes taken for values
        stored = file.create_dataset("Mask", mask.shape, mask.dtype, chunks=mask.shape, compression="gzip")
        stored.id.write_direct_chunk((0, 0, 0), zlib.compress(mask.tobytes()[:-1]))

    for how in ({}, {"chunks": (2, 3, 4)}, {"chunks": (2, 3, 4), "compression": "gzip", "shuffle": True}):
        assert np.array_equal(read_mat(matlab(tmp_path / "a.mat", written(**how)), "Mask"), mask.T)
    empty = [lambda file: file.create_dataset("Mask", mask.shape, mask.dtype), one_chunk, short_chunk]
    for way in (*empty, written(chunks=(2, 3, 4), fletcher32=True)):
        with pytest.raises(InputError, match=r"PE-IN-003.*not in it"):
            read_mat(matlab(tmp_path / "a.mat", way), "Mask")


def test_a_zlib_stream_with_a_wrong_checksum_alone(ct, tmp_path):
    path = tmp_path / "a.mha"
    sitk.WriteImage(ct, str(path), useCompression=True)
    content = path.read_bytes()
    stream = content[content.index(b"LOCAL") + 6 :]
    assert len(zlib.decompress(stream)) == 2 * 12 * 20 * 20
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="PE-IN-003"):
        read_file(Path(path))
