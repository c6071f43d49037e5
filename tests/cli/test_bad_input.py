"""What a user gets for input that cannot work: one line with a code, exit code 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main

VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def abdomen() -> sitk.Image:
    """A body with some bowel gas, and no lung."""
    _, y, x = np.ogrid[:40, :96, :96]
    hu = np.full((40, 96, 96), -1000, np.int16)
    hu[np.broadcast_to(((y - 48) / 38) ** 2 + ((x - 48) / 44) ** 2 < 1, hu.shape)] = 40
    hu[np.broadcast_to((y - 40) ** 2 + (x - 50) ** 2 < 25, hu.shape)] = -900
    image = sitk.GetImageFromArray(hu + np.random.default_rng(0).normal(0, 12, hu.shape).astype(np.int16))
    image.SetSpacing((4.0, 4.0, 5.0))
    return image


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nnU-Net's three folders, an empty dataset 501 among the results, and bad inputs."""
    for name in VARIABLES:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "nnUNet_raw" / "Dataset501_Taken").mkdir()
    (tmp_path / "nnUNet_results" / "Dataset501_Taken").mkdir()
    for name in ("empty", "no_images", "text", "abdomen", "labels"):
        (tmp_path / name).mkdir()
    (tmp_path / "no_images" / "readme.txt").write_text("hello")
    (tmp_path / "text" / "scan.nii.gz").write_text("no image")
    sitk.WriteImage(abdomen(), str(tmp_path / "abdomen" / "scan.nii.gz"))
    mask = sitk.GetImageFromArray(np.zeros((40, 96, 96), np.uint8))
    mask.SetSpacing((4.0, 4.0, 5.0))
    sitk.WriteImage(mask, str(tmp_path / "labels" / "scan.nii.gz"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


CONVERT = ("convert", "nifti")
PREDICT = ("predict-fused", "-o", "out")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((*CONVERT, "empty", "-d", "777", "--labels", "labels"), "PE-IN-001"),
        ((*CONVERT, "no_images", "-d", "777", "--labels", "labels"), "PE-IN-001"),
        ((*CONVERT, "text", "-d", "777", "--labels", "labels"), "PE-IN-003"),
        ((*CONVERT, "abdomen", "-d", "777", "--labels", "labels"), "PE-ROI-001"),
        ((*CONVERT, "nowhere", "-d", "777", "--labels", "labels"), "PE-IN-002"),
        ((*CONVERT, "abdomen", "-d", "501", "--name", "Other", "--labels", "labels"), "PE-ENV-003"),
        ((*PREDICT, "-i", "empty", "-d", "501"), "PE-IN-001"),
        ((*PREDICT, "-i", "no_images", "-d", "501"), "PE-IN-001"),
        ((*PREDICT, "-i", "nowhere", "-d", "501"), "PE-IN-002"),
        ((*PREDICT, "-i", "abdomen", "-d", "777"), "PE-ENV-002"),
        ((*PREDICT, "-i", "abdomen", "-d", "501"), "PE-MODEL-001"),
        ((*PREDICT, "-i", "abdomen", "-m", "empty"), "PE-MODEL-001"),
        ((*PREDICT, "-i", "abdomen"), "PE-MODEL-001"),
        ((*PREDICT, "-i", "abdomen", "-d", "501", "--threshold", "2"), "PE-FUS-001"),
        (("run", "nnUNetv2_no_such_command"), "PE-ENV-005"),
    ],
)
def test_one_line_with_a_code_and_nothing_written(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: str
) -> None:
    before = sorted(path for path in here.rglob("*"))
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "PE-" in line]
    assert len(lines) == 1
    assert code in lines[0]
    assert sorted(path for path in here.rglob("*")) == before


@pytest.mark.parametrize(
    ("variable", "arguments"),
    [
        ("nnUNet_raw", (*CONVERT, "abdomen", "-d", "777", "--labels", "labels")),
        ("nnUNet_results", (*PREDICT, "-i", "abdomen", "-d", "501")),
    ],
)
def test_unset_variable(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.delenv(variable)
    assert main(arguments) == 2
    assert f"PE-ENV-001: {variable} is not set" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("no-such-command",), ("predict-fused",), ("convert", "no-such-kind", "x")])
def test_wrong_usage_is_exit_code_1(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert "usage" in capsys.readouterr().err
