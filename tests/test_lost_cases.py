"""Files that abort, stall or fill the process that reads them: each costs its own case, whatever the command."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.dataset_conversion import convert_dataset
from pe_nnunet.dataset_conversion.convert_case import convert_case
from pe_nnunet.inference import batch
from pe_nnunet.inference.inputs import read_inputs
from pe_nnunet.volumes import ScanRef


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find the jobs of this file as this one does."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


LOST = {"b-abort": "PE-IN-008", "c-stall": "PE-IN-007", "d-memory": "PE-IN-006"}


def act(case_id: str) -> None:
    """What a library does at a file that is made to do harm."""
    if case_id.endswith("abort"):
        os.abort()
    if case_id.endswith("stall"):
        time.sleep(60)
    if case_id.endswith("memory"):
        np.ones(1 << 46, np.uint8)


def read(ref: ScanRef, **how: Any) -> Any:
    act(ref.case_id)
    return read_inputs(ref, **how)


def convert(case: Any, **how: Any) -> Any:
    act(case[0].case_id)
    return convert_case(case, **how)


@pytest.fixture
def scans(tmp_path: Path, thorax: sitk.Image) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a", *LOST, "e"):
        sitk.WriteImage(thorax, str(folder / f"{name}.nii.gz"))
    return folder


def test_predict_fused_goes_on(
    scans: Path, model_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "read_inputs", read)
    arguments = ["-i", scans, "-m", model_folder(log_odds=(2.0,), patch=(32, 32, 32)), "--fast", "--no-report"]
    arguments += ["-device", "cpu", "--case-timeout", "5"]
    assert main(["predict-fused", "-o", str(tmp_path / "out"), *map(str, arguments)]) == 3
    failed = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert {case["case"]: case["code"] for case in failed} == LOST
    assert all((tmp_path / "out" / f"{name}.nii.gz").is_file() for name in ("a", "e"))

    monkeypatch.setattr(batch, "read_inputs", read_inputs)  # in this process, as before there was another
    here = batch.predict_batch
    monkeypatch.setattr(batch, "predict_batch", lambda *a, **k: here(*a, **k | {"limits": None}))
    for name in LOST:
        (scans / f"{name}.nii.gz").unlink()
    assert main(["predict-fused", "-o", str(tmp_path / "here"), *map(str, arguments)]) == 0
    for name in ("a.nii.gz", "e.nii.gz", "a_emboli.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_convert_goes_on(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_dataset, "convert_case", convert)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    (tmp_path / "raw").mkdir()
    (tmp_path / "none.txt").write_text("\n".join(["a", *LOST, "e"]))
    arguments = ["--negatives", str(tmp_path / "none.txt"), "--case-timeout", "4", "--num-processes", "2"]
    assert main(["convert", "nifti", str(scans), "-d", "501", "--folds", "2", *arguments]) == 3
    made = tmp_path / "raw" / "Dataset501_PE"
    failed = json.loads((made / "pe_nnunet" / "errors.json").read_text())
    assert {case["case"]: case["code"] for case in failed} == LOST | {"b-abort": "PE-CONV-012"}
    assert sorted(path.name for path in (made / "imagesTr").iterdir()) == ["a_0000.nii.gz", "e_0000.nii.gz"]
