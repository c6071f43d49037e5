"""Real scanners' files."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import find_scans, read_scan, require_same_grid

Unpack = Callable[[str], Path]


def read_one(path: Path) -> np.ndarray:
    (ref,) = find_scans(path)
    return sitk.GetArrayFromImage(read_scan(ref).image)


def test_a_thorax_as_dicom_and_as_nrrd(real_data: Path, unpacked: Unpack) -> None:
    (series,) = find_scans(unpacked("chest_ct64/ct-64Dicom.tar.xz"))
    scan = read_scan(series)
    (other,) = find_scans(real_data / "chest_ct64" / "ct-64.nrrd")
    volume = read_scan(other)
    assert scan.image.GetSize() == (64, 64, 79)
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(volume.image))
    require_same_grid(volume.image, scan.image, "the DICOM series")
    assert (scan.notes, volume.notes) == ((), ())


@pytest.mark.parametrize("name", ["jpeg_lossless_sv1", "jpeg2000_lossless", "rle"])
def test_lossless_syntaxes_give_the_uncompressed_values(real_data: Path, name: str) -> None:
    folder = real_data / "dicom" / "syntaxes"
    assert np.array_equal(read_one(folder / f"{name}.dcm"), read_one(folder / "implicit_little.dcm"))


@pytest.mark.parametrize("name", ["implicit_little", "jpeg_lossless_sv1", "jpeg2000_lossless", "rle"])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_truncated_files_are_refused(real_data: Path, tmp_path: Path, name: str, share: float) -> None:
    data = (real_data / "dicom" / "syntaxes" / f"{name}.dcm").read_bytes()
    (tmp_path / "x.dcm").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="PE-DCM-022"):
        read_one(tmp_path / "x.dcm")


def test_eight_bit_jpeg_is_refused(real_data: Path) -> None:
    with pytest.raises(InputError, match=r"PE-DCM-013.*JPEG Baseline"):
        read_one(real_data / "dicom" / "syntaxes" / "jpeg_baseline_8bit.dcm")


def test_gantry_tilt_is_refused_with_its_angle(unpacked: Unpack) -> None:
    with pytest.raises(InputError, match=r"PE-DCM-004.*18\.5 degrees"):
        read_one(unpacked("dicom/gantry_tilt.tar.xz"))


def test_localizer_and_captures_alone_are_no_ct(unpacked: Unpack) -> None:
    with pytest.raises(InputError, match=r"PE-DCM-008.*5 CT Secondary Capture Image Storage, 1 localizer"):
        read_one(unpacked("dicom/localizer_and_captures.tar.xz"))


def test_a_localizer_beside_a_scan_of_its_study_is_no_case(unpacked: Unpack, tmp_path: Path) -> None:
    shutil.copytree(unpacked("dicom/gantry_tilt.tar.xz"), tmp_path / "axial")
    shutil.copytree(unpacked("dicom/localizer_and_captures.tar.xz"), tmp_path / "scouts")
    assert [ref.path.name for ref in find_scans(tmp_path)] == ["axial"]


def test_duplicates_and_gaps(real_data: Path, tmp_path: Path) -> None:
    """Eleven files, two at one position with one InstanceNumber and the same pixels, gaps between the others."""
    with zipfile.ZipFile(real_data / "dicom" / "duplicate_positions" / "dupe-positions.zip") as archive:
        archive.extractall(tmp_path)
    with pytest.raises(InputError, match="PE-DCM-001"):
        read_one(tmp_path)
    for name in ("CT2", "CT20", "CT21", "CT22", "CT23", "CT24", "CT25", "CT27", "CT29"):
        next(tmp_path.rglob(f"{name}.dcm")).unlink()
    (ref,) = find_scans(tmp_path)
    scan = read_scan(ref)
    assert scan.image.GetSize() == (512, 512, 1)
    assert [note.code for note in scan.notes] == ["PE-DCM-002", "PE-DCM-011", "PE-DCM-019"]
