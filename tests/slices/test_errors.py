"""What cannot be converted is refused with a code, in one line."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

from pe_nnunet.cli import main
from pe_nnunet.errors import PEError
from pe_nnunet.slices import read_label_of, read_png_masks, read_png_scan
from pe_nnunet.slices.slice_masks import read_plane
from pe_nnunet.volumes import Scan, image_like

NAMES, SHAPE = ("a", "b"), (4, 5)


def slices(*arguments: object) -> int:
    return main(["slices", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dicom", "--window", "-100", "200"), "PE-SLC-007: --window has no meaning here"),
        (("png", "--window", "200", "-100"), "PE-SLC-007: --window 200 -100 is empty"),
        (("png", "--algorithm", "X"), "PE-SLC-007: --algorithm"),
        (("nifti", "--round"), "PE-SLC-007: --round"),
        (("nifti", "--segments", "a"), "PE-SLC-007: --segments has no meaning here, for nifti; it goes with --labels"),
        (("nifti", "--labels", "nowhere"), "PE-IN-002"),
    ],
)
def test_options_that_do_not_fit(volume, tmp_path: Path, capsys, arguments: tuple[str, ...], message: str) -> None:
    assert slices(arguments[0], volume[0], tmp_path / "out", *arguments[1:]) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not (tmp_path / "out").exists()


def test_dicom_stays_dicom_without_a_label(series: Scan, tmp_path: Path, capsys) -> None:
    assert slices("dicom", series.ref.path, tmp_path / "out") == 2
    assert "b: PE-SLC-006" in capsys.readouterr().err


def test_slices_that_share_a_uid_get_no_segmentation(series: Scan, volume, tmp_path: Path, capsys) -> None:
    assert series.dicom is not None
    for file in series.dicom.files[:2]:
        header = pydicom.dcmread(file)
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        header.save_as(file)
    assert slices("dicom", series.ref.path, tmp_path / "out", "--labels", volume[1]) == 2
    assert "b: PE-OUT-004: emboli.dcm: no DICOM SEG: 2 of 8 slices share a SOPInstanceUID" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_hu_that_are_not_whole(image, tmp_path: Path, capsys) -> None:
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32) + 0.25, str(tmp_path / "f.nii.gz"))
    for to in ("dicom", "png"):
        assert slices(to, tmp_path / "f.nii.gz", tmp_path / to) == 2
        assert "PE-OUT-003" in capsys.readouterr().err
        assert slices(to, tmp_path / "f.nii.gz", tmp_path / to, "--round") == 0


@pytest.mark.parametrize("to", ["dicom", "png"])
def test_a_folder_with_slices_of_another_scan(volume, image, tmp_path: Path, capsys, to: str) -> None:
    assert slices(to, volume[0], tmp_path / "out") == 0
    sitk.WriteImage(image[:, :, :5], str(volume[0]))
    assert slices(to, volume[0], tmp_path / "out") == 2
    assert "PE-OUT-002" in capsys.readouterr().err


def picture(folder: Path, name: str, plane: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(plane).save(folder / f"{name}.png")


def test_png_masks(tmp_path: Path) -> None:
    with pytest.raises(PEError, match=r"PE-SLC-004: .* holds no .png"):
        read_png_masks(tmp_path, NAMES, SHAPE)
    picture(tmp_path, "b", np.eye(4, 5, dtype=np.uint8) * 255)
    ids, notes = read_png_masks(tmp_path, NAMES, SHAPE)
    assert ([note.code for note in notes], ids.max(), int(ids[0].sum()), int(ids[1].sum())) == (["PE-SLC-005"], 1, 0, 4)
    picture(tmp_path, "a", np.full(SHAPE, 300, np.uint16))
    ids, notes = read_png_masks(tmp_path, NAMES, SHAPE)
    assert (notes, ids[0].min(), ids[1].max()) == ([], 300, 255)
    Image.fromarray(np.eye(4, 5, dtype=bool)).save(tmp_path / "a.png")
    assert read_png_masks(tmp_path, NAMES, SHAPE)[0][0].sum() == 4
    picture(tmp_path, "c", np.zeros(SHAPE, np.uint8))
    with pytest.raises(PEError, match=r"PE-SLC-004: .* 1 masks of other slices, for example c.png"):
        read_png_masks(tmp_path, NAMES, SHAPE)


@pytest.mark.parametrize(
    ("plane", "what"), [(np.zeros((4, 5, 3), np.uint8), "mode RGB"), (np.zeros((5, 4), np.uint8), r"\(5, 4\) pixels")]
)
def test_png_masks_of_another_kind(tmp_path: Path, plane: np.ndarray, what: str) -> None:
    picture(tmp_path, "a", plane)
    with pytest.raises(PEError, match=f"PE-SLC-002.*{what}"):
        read_png_masks(tmp_path, NAMES, SHAPE)
    (tmp_path / "a.png").write_bytes(b"<html>")
    with pytest.raises(PEError, match=r"PE-SLC-002.*cannot be read"):
        read_png_masks(tmp_path, NAMES, SHAPE)


def test_no_damaged_png_is_read_as_other_values(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, SHAPE).astype(np.uint16)
    picture(tmp_path, "a", values)
    good = (tmp_path / "a.png").read_bytes()
    assert (read_plane(tmp_path / "a.png", SHAPE) == values).all()
    for place in range(len(good) - 12):  # what follows is the end mark
        (tmp_path / "a.png").write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(PEError, match="PE-SLC-002"):
            read_plane(tmp_path / "a.png", SHAPE)


def test_a_png_bomb_is_refused_by_its_size(tmp_path: Path) -> None:
    header = struct.pack(">II5B", 100_000, 100_000, 16, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(PEError, match="PE-SLC-002"):
        read_plane(tmp_path / "a.png", SHAPE)


def test_an_empty_label_is_said(volume, image, tmp_path: Path, capsys) -> None:
    nothing = np.zeros(image.GetSize()[::-1], np.uint8)
    sitk.WriteImage(image_like(nothing, image), str(volume[1]))
    assert slices("png", volume[0], tmp_path / "png", "--labels", volume[1]) == 0
    assert "a: PE-LBL-006 warning: a.nii.gz is empty: a scan without emboli" in capsys.readouterr().err
    masks = tmp_path / "png" / "a" / "emboli"
    for arguments in ((volume[0], tmp_path / "1", "--labels", masks), (tmp_path / "png", tmp_path / "2")):
        assert slices("nifti", *arguments) == 0  # masks as PNG, and those that lie beside a scan of PNG
        assert "PE-LBL-006" in capsys.readouterr().err


def test_damaged_png_scans(volume, tmp_path: Path) -> None:
    assert slices("png", volume[0], tmp_path) == 0
    folder = tmp_path / "a"
    manifest = json.loads((folder / "slices.json").read_text())
    for change in ({"slices": ["../../secret"] * 8}, {"slices": ["x"]}, {"format": 9}, {"hu_offset": 40000}):
        (folder / "slices.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(PEError, match="PE-SLC-001"):
            read_png_scan(folder)
    (folder / "slices.json").write_text(json.dumps(manifest))
    (folder / "ct" / "0005.png").unlink()
    with pytest.raises(PEError, match=r"PE-SLC-002: .*0005.png is missing"):
        read_png_scan(folder)
    (folder / "slices.json").write_text("{")
    with pytest.raises(PEError, match="PE-SLC-001"):
        read_png_scan(folder)


def test_masks_of_another_series(series: Scan, tmp_path: Path) -> None:
    picture(tmp_path / "masks", "1.2.3", np.zeros((20, 24), np.uint8))
    with pytest.raises(PEError, match=r"PE-SLC-004"):
        read_label_of(series, tmp_path / "masks")
