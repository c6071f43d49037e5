"""Headers and data that do not fit together: refused with a line, never other voxels, never the end of the process."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import read_file
from tests.volumes.headers import meta_image, nifti, nrrd

VOXELS = np.random.default_rng(5).integers(-1000, 1000, (4, 5, 6)).astype("<i2")
LPS = ["space: LPS", "space directions: (1,0,0) (0,1,0) (0,0,2)", "space origin: (0,0,0)"]
GRID = ["Offset = 0 0 0", "TransformMatrix = 1 0 0 0 1 0 0 0 1", "ElementSpacing = 1 1 2"]
Change = Callable[[bytes], bytes]


def raw_nrrd(path: Path) -> Path:
    return nrrd(path / "a.nrrd", VOXELS, LPS)


def text_nrrd(path: Path) -> Path:
    file = raw_nrrd(path)
    head = file.read_bytes()[: -VOXELS.nbytes].replace(b"raw", b"text").replace(b"endian: little\n", b"")
    file.write_bytes(head + " ".join(map(str, VOXELS.ravel())).encode())
    return file


def raw_meta(path: Path) -> Path:
    return meta_image(path / "a.mha", VOXELS, GRID)


def packed_meta(path: Path) -> Path:
    file, packed = raw_meta(path), zlib.compress(VOXELS.tobytes())
    head = file.read_bytes()[: -VOXELS.nbytes]
    said = f"CompressedData = True\nCompressedDataSize = {len(packed)}\nOffset".encode()
    file.write_bytes(head.replace(b"Offset", said) + packed)
    return file


def plain_nifti(path: Path) -> Path:
    return nifti(path / "a.nii", VOXELS)


def packed_nifti(path: Path) -> Path:
    file = path / "a.nii.gz"
    file.write_bytes(gzip.compress(plain_nifti(path).read_bytes()))
    return file


def before_the_end(count: int) -> Change:
    return lambda content: content[:-40] + content[-40 - count : -40] + content[-40:]


def packed(change: Change) -> Change:
    return lambda content: gzip.compress(change(gzip.decompress(content)))


def with_text(old: bytes, new: bytes) -> Change:
    return lambda content: content.replace(old, new, 1)


WHOLE = [raw_nrrd, text_nrrd, raw_meta, packed_meta, plain_nifti, packed_nifti]
REFUSED = [
    (raw_nrrd, before_the_end(2), "PE-IN-020: .* 2 bytes behind the 240"),  # all voxels behind them have moved
    (raw_meta, before_the_end(8), "PE-IN-020: .* 8 bytes"),
    (plain_nifti, before_the_end(16), "PE-IN-020: .* 16 bytes"),
    (packed_nifti, packed(before_the_end(2)), "PE-IN-003.*more than the 5"),
    (packed_nifti, lambda content: content + gzip.compress(b"more"), "PE-IN-003.*more than"),
    (text_nrrd, lambda content: content[:-1] + b"x", "PE-IN-020.*120 words, expected 120 numbers"),
    (text_nrrd, lambda content: content + b" 7", "PE-IN-020.*121 words"),
    (raw_nrrd, with_text(b"sizes", b"kinds: " + b"A" * 5000 + b"\nsizes"), "PE-NII-015.*line of 5007 bytes"),  # SIGSEGV
    (raw_nrrd, with_text(b"endian", b"not a field\nendian"), "PE-NII-015.*'not a field'"),
    (raw_nrrd, with_text(b"endian: little", b"endian: little\nendian: big"), "PE-NII-015.*twice.*'little' and 'big'"),
    (raw_meta, with_text(b"Offset", b"NDims = 2\nOffset"), "PE-NII-011"),
    (raw_meta, with_text(b"Offset", b"ElementByteOrderMSB = True\nOffset"), "PE-NII-015.*twice"),
    (raw_meta, with_text(b"NDims = 3", b"NDims = 65535"), "PE-NII-011"),  # SIGSEGV
    (raw_meta, with_text(b"MSB = False", b"MSB = 1"), "PE-NII-015.*binarydatabyteordermsb '1'"),  # read as big endian
    (raw_meta, with_text(b"Offset", b"HeaderSize = 10\nOffset"), "PE-NII-015.*HeaderSize"),
    (raw_meta, with_text(b"DimSize = 6 5 4", b"DimSize = 6 5"), "PE-NII-011"),
    (raw_meta, with_text(b"= LOCAL", b"= " + b"A" * 5000), "PE-IN-002"),
    (packed_meta, lambda content: content.replace(b"CompressedDataSize = 2", b"CompressedDataSize = 1"), "PE-IN-003"),
    (packed_meta, with_text(b"CompressedDataSize = ", b"CompressedDataSize = 0"), None),  # 0234 is 234
    (packed_meta, with_text(b"CompressedDataSize", b"Other"), "PE-IN-020.*CompressedDataSize"),
    (packed_meta, with_text(b"MET_SHORT", b"MET_LONG_LONG"), "PE-IN-020.*unpacks to 240 bytes, expected 960"),
]


@pytest.mark.parametrize("make", WHOLE)
def test_whole_files_are_read(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_file(make(tmp_path))[0]), VOXELS)


@pytest.mark.parametrize("make", [raw_nrrd, raw_meta, plain_nifti])
@pytest.mark.parametrize("behind", [bytes(512), b"\n"])
def test_padding_behind_the_voxels_is_none_of_theirs(
    tmp_path: Path, make: Callable[[Path], Path], behind: bytes
) -> None:
    path = make(tmp_path)
    path.write_bytes(path.read_bytes() + behind)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_file(path)[0]), VOXELS)


@pytest.mark.parametrize(("make", "change", "error"), REFUSED)
def test_what_does_not_fit(tmp_path: Path, make: Callable[[Path], Path], change: Change, error: str | None) -> None:
    path = make(tmp_path)
    content = path.read_bytes()
    assert change(content) != content
    path.write_bytes(change(content))
    if error is None:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read_file(path)[0]), VOXELS)
        return
    with pytest.raises(InputError, match=error):
        read_file(path)
