"""Labels whose headers leave their grid in doubt, or hold a part of it, are scored on the right one and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.evaluation import evaluate_folder
from tests.volumes.headers import affine, nifti, nrrd

TRUTH = np.zeros((6, 10, 12), np.uint8)
TRUTH[1:3, 1:4, 1:4] = 1
VOXELS, VOXEL_MM3 = 18, 1.5 * 1.25 * 2.5


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("predictions", "labels"):
        (tmp_path / name).mkdir()
    return tmp_path / "predictions", tmp_path / "labels"


def test_volumes_follow_the_spacing_that_itk_takes(folders: tuple[Path, Path]) -> None:
    predictions, labels = folders
    label = nifti(labels / "a.nii", TRUTH, sform=affine((1.0, 1.0, 1.0)))
    sitk.WriteImage(sitk.ReadImage(str(label)), str(predictions / "a.nii.gz"))  # as nnU-Net writes
    evaluation = evaluate_folder(predictions, labels)
    assert not evaluation.failures
    (case,) = evaluation.cases
    assert case.values["dice"] == 1
    assert case.values["truth_ml"] == pytest.approx(VOXELS * VOXEL_MM3 / 1000)
    (note,) = [note for note in evaluation.notes if note.code == "PE-NII-014"]
    assert note.message.startswith("a: ")
    assert "spacing 1.5, 1.25, 2.5 mm" in note.message
    assert "spacing 1, 1, 1 mm" in note.message


def test_a_prediction_by_the_sform_is_laid_on_its_label(folders: tuple[Path, Path]) -> None:
    predictions, labels = folders
    nifti(labels / "a.nii", TRUTH, sform=affine((1.0, 1.0, 1.0)))
    nifti(predictions / "a.nii", TRUTH, sform=affine((1.0, 1.0, 1.0)), qform=affine((1.0, 1.0, 1.0)))
    evaluation = evaluate_folder(predictions, labels)
    assert not evaluation.failures
    assert evaluation.cases[0].values["dice"] == 1
    assert {"PE-NII-014", "PE-NII-016"} <= {note.code for note in evaluation.notes}


def test_a_cropped_segmentation_is_the_label_of_the_case_of_its_name(folders: tuple[Path, Path]) -> None:
    predictions, labels = folders
    nifti(predictions / "p4.nii", TRUTH)
    corner = ",".join(map(str, (-20 + 1.5, 31.5 + 1.25, 700.25)))
    lines = [
        "space: LPS",
        "space directions: (1.5,0,0) (0,1.25,0) (0,0,2.5)",
        f"space origin: ({corner})",
        "Segment0_Name:=embolus",
        "Segment0_LabelValue:=1",
        "Segment0_Layer:=0",
    ]
    nrrd(labels / "p4.seg.nrrd", np.ascontiguousarray(TRUTH[:, 1:5, 1:6]), lines)
    evaluation = evaluate_folder(predictions, labels)
    assert not evaluation.failures
    assert evaluation.cases[0].values["dice"] == 1
    assert [note.code for note in evaluation.notes if note.code.startswith("PE-NII")] == ["PE-NII-017"]
