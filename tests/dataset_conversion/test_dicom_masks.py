"""Emboli drawn in DICOM itself become the same dataset as emboli in NIfTI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.dataset_conversion import ConvertOptions, convert, restore
from pe_nnunet.volumes import write_dicom_series, write_image


@pytest.fixture
def scans(tmp_path: Path, thorax: Any, write_seg: Callable[..., Path]) -> Path:
    for case in ("a", "b"):
        write_dicom_series(thorax.ct, tmp_path / "scans" / case, patient_id=case)
    slices = sorted((tmp_path / "scans" / "a").iterdir())
    ids = sitk.GetArrayFromImage(thorax.emboli)
    write_seg(tmp_path / "labels" / "a.dcm", slices, ids, ["Embolus 1", "Embolus 2"])
    write_image(thorax.emboli, tmp_path / "labels" / "b.nii.gz")
    return tmp_path / "scans"


def test_dicom_seg_and_nifti_give_the_same(scans: Path, nnunet: Path, thorax: Any) -> None:
    report = convert("dicom", scans, 501, "PE", ConvertOptions(labels=str(scans.parent / "labels"), folds=2))
    assert report.errors == ()
    for case, record in report.cases.items():
        ids = sitk.ReadImage(str(nnunet / f"Dataset501_PE/pe_nnunet/instances/{case}.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(restore(ids, record)), sitk.GetArrayFromImage(thorax.emboli))


def test_dry_run_lists_and_writes_nothing(
    scans: Path, nnunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test.txt").write_text("b\n")
    (scans.parent / "labels" / "a.dcm").unlink()
    command = ["convert", "dicom", str(scans), "-d", "501", "--labels", str(scans.parent / "labels"), "--dry-run"]
    assert main([*command, "--negatives", str(tmp_path / "none.txt")]) == 2
    capsys.readouterr()
    assert main(command) == 3
    out, err = capsys.readouterr()
    assert out.splitlines() == ["case\tsubset\tfiles\tscan\tlabel\tartery", "b\ttrain\t48\tb\tb.nii.gz\t-"]
    assert err.startswith("a: PE-CONV-005")
    assert list(nnunet.iterdir()) == []
