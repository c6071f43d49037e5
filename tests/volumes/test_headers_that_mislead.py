"""MetaImage and NRRD headers that the libraries read otherwise than they look: none leads to a file elsewhere."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.files.volume_file import read_file

SIZE = 4
META = (
    "NDims = 3\nBinaryData = True\nElementSpacing = 2 2 2\nOffset = 0 0 0\n"
    f"DimSize = {SIZE} {SIZE} {SIZE}\nElementType = MET_SHORT\n"
)
NRRD = (
    f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {SIZE} {SIZE} {SIZE}\n"
    "space directions: (2,0,0) (0,2,0) (0,0,2)\nspace origin: (0,0,0)\nendian: little\nencoding: raw\n"
)
OWN, SECRET = (np.full((SIZE,) * 3, value, "<i2") for value in (7, 1234))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "secret.raw"
    path.parent.mkdir()
    path.write_bytes(SECRET.tobytes())
    return path


def require_refused(path: Path, header: str) -> None:
    """A header with voxels behind it is not read."""
    path.parent.mkdir()
    path.write_bytes(header.encode() + OWN.tobytes())
    with pytest.raises(InputError, match="PE-NII-011"):
        read_file(path)


@pytest.mark.parametrize(
    "lines",
    [
        "Foo\nElementDataFile = LOCAL\n",
        "Foo\n\nElementDataFile = LOCAL\n",
        "CenterOfRotation = 0 0\nElementDataFile = LOCAL\n",
        "TransformMatrix = 1 0 0 0 1 0 0 0\nElementDataFile = LOCAL\n",
        "SequenceID = 1\nElementDataFile = LOCAL\n",
        "CompressedDataSize =\nElementDataFile = LOCAL\n",
        f"{'F' * 499}\nElementDataFile = LOCAL\n",
    ],
)
def test_meta_fields_that_go_on_over_the_end_of_their_line(tmp_path: Path, secret: Path, lines: str) -> None:
    require_refused(tmp_path / "in" / "a.mha", f"{META}{lines}ElementDataFile = {secret}\n")


@pytest.mark.parametrize("line", ["content: x\rdata file: {}", "a:=x\rdata file: {}", "#\rdata file: {}", "a:=\0"])
def test_nrrd_lines_that_end_in_a_carriage_return(tmp_path: Path, secret: Path, line: str) -> None:
    require_refused(tmp_path / "in" / "a.nrrd", f"{NRRD}{line.format(secret)}\n\n")


@pytest.mark.parametrize("word", ["LoCaL", "lOCAL"])
@pytest.mark.parametrize(("name", "header"), [("a.mhd", META + "ElementDataFile = "), ("a.nrrd", NRRD + "data file: ")])
def test_a_file_that_is_called_local_is_a_file(tmp_path: Path, secret: Path, word: str, name: str, header: str) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir()
    path.write_bytes(f"{header}{word}\n\n".encode() + bytes(4096))
    (path.parent / word).symlink_to(secret)
    with pytest.raises(InputError, match=r"PE-NII-011.*link"):
        read_file(path)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_plain_headers_are_read(tmp_path: Path, ending: str) -> None:
    for name, header in (("a.mha", f"Comment = a = b\n{META}ElementDataFile = LOCAL\n"), ("a.nrrd", f"{NRRD}\n")):
        (tmp_path / name).write_bytes(header.replace("\n", ending).encode() + OWN.tobytes())
        assert (sitk.GetArrayFromImage(read_file(tmp_path / name)[0]) == OWN).all()


def test_a_header_of_many_empty_lines_takes_no_time(tmp_path: Path) -> None:
    header = f"ObjectType = Image\n{META}{chr(10) * 60_000}ElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(header.encode() + OWN.tobytes())
    started = time.perf_counter()
    assert (sitk.GetArrayFromImage(read_file(tmp_path / "a.mha")[0]) == OWN).all()
    assert time.perf_counter() - started < 10
