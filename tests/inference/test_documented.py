"""The example in the documentation, run."""

import doctest
from pathlib import Path

import SimpleITK as sitk

DOCUMENT = Path(__file__).parents[2] / "docs" / "prediction.md"


def test_the_example_of_the_python_interface(model_folder, thorax, tmp_path, monkeypatch):
    model_folder("PETARUNetTrainer__PETARUNetPlans__3d_fullres", folds=(0, 1), log_odds=(2.0, 2.0))
    (tmp_path / "results").rename(tmp_path / "nnUNet_results")
    (tmp_path / "scans").mkdir()
    sitk.WriteImage(thorax, str(tmp_path / "scans" / "study.nii.gz"))
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert outcome.attempted > 5
    assert outcome.failed == 0
