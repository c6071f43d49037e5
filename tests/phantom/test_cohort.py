"""Folders: layout, formats, the same bytes, and what a second run does."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.phantom import coarse_settings, make_phantom, write_cohort
from pe_nnunet.phantom.cohort import write_case
from pe_nnunet.volumes import find_scans, read_scan

TINY = coarse_settings(spacing_mm=(4.0, 4.0, 4.0), min_embolus_voxels=4)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mixed")
    write_cohort(out, 2, TINY, 5, "mixed")
    return out


def test_layout(mixed: Path) -> None:
    assert sorted(path.name for path in mixed.iterdir()) == ["phantom.json", "phantom_001", "phantom_002"]
    masks = {f"{name}.nii.gz" for name in ("emboli", "artery", "vein", "lung")}
    assert {path.name for path in (mixed / "phantom_001").iterdir()} == masks | {"ct.nii.gz"}
    assert {path.name for path in (mixed / "phantom_002").iterdir()} == masks | {"ct"}
    assert all(path.suffix == ".dcm" for path in (mixed / "phantom_002" / "ct").iterdir())
    manifest = json.loads((mixed / "phantom.json").read_text())
    assert manifest["seed"] == 5
    assert [case["format"] for case in manifest["cases"].values()] == ["nifti", "dicom"]


def test_the_same_seed_writes_the_same_bytes(mixed: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, 2, TINY, 5, "mixed")
    assert hashes(tmp_path) == hashes(mixed)


def test_workers_write_the_same_bytes(mixed: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, 2, TINY, 5, "mixed", num_processes=2)
    assert hashes(tmp_path) == hashes(mixed)


def test_a_longer_cohort_begins_with_the_shorter_one_and_keeps_its_files(mixed: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, 1, TINY, 5, "mixed")
    stamp = (tmp_path / "phantom_001" / "ct.nii.gz").stat().st_mtime_ns
    write_cohort(tmp_path, 2, TINY, 5, "mixed")
    assert (tmp_path / "phantom_001" / "ct.nii.gz").stat().st_mtime_ns == stamp
    assert hashes(tmp_path) == hashes(mixed)


def test_dicom_and_nifti_hold_the_same_scan(mixed: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, 2, TINY, 5, "nifti")
    (ref,) = find_scans(mixed / "phantom_002" / "ct")
    series, file = read_scan(ref).image, sitk.ReadImage(str(tmp_path / "phantom_002" / "ct.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series), sitk.GetArrayFromImage(file))
    assert series.GetSpacing() == pytest.approx(file.GetSpacing(), abs=1e-4)
    assert series.GetOrigin() == pytest.approx(file.GetOrigin(), abs=1e-3)
    assert series.GetDirection() == pytest.approx(file.GetDirection(), abs=1e-6)


def test_another_cohort_in_the_folder_is_left_alone(mixed: Path) -> None:
    before = hashes(mixed)
    with pytest.raises(ConfigurationError, match="another seed") as caught:
        write_cohort(mixed, 2, TINY, 6, "mixed")
    assert caught.value.code == "PE-PHA-002"
    assert hashes(mixed) == before


def test_an_unfinished_case_is_made_again(mixed: Path, tmp_path: Path) -> None:
    shutil.copytree(mixed, tmp_path, dirs_exist_ok=True)
    (tmp_path / "phantom_001").rename(tmp_path / ".writing-0123456789abcdef")  # as a killed run leaves it
    write_cohort(tmp_path, 2, TINY, 5, "mixed")
    assert hashes(tmp_path) == hashes(mixed)


def test_a_case_that_cannot_be_written_has_a_code(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="PE-OUT-001"):
        write_case(make_phantom(TINY, 5, 0), tmp_path / "file" / "phantom_001", as_dicom=False)


def test_the_command_writes_what_the_function_writes(mixed: Path, tmp_path: Path) -> None:
    arguments = ["phantom", str(tmp_path), "--coarse", "--spacing", "4", "--cases", "2", "--seed", "5"]
    assert main([*arguments, "--format", "mixed"]) == 0
    written, expected = hashes(tmp_path), hashes(mixed)
    assert written.keys() == expected.keys()


@pytest.mark.parametrize(
    "arguments", [["--cases", "0"], ["--seed", "-1"], ["--spacing", "1", "2"], ["--negatives", "2"], ["--size", "20"]]
)
def test_the_command_refuses_what_cannot_be_made(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["phantom", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err.startswith("PE-PHA-001: phantom ")
    assert not (tmp_path / "out").exists()
