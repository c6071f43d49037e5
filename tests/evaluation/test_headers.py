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


def test_three_labels_of_doubtful_grids(tmp_path: Path) -> None:
    """Case a: predicted with ITK's grid; b: by a tool that reads the sform; p4: a cropped segmentation of 3D Slicer."""
    predictions, labels = tmp_path / "predictions", tmp_path / "labels"
    predictions.mkdir()
    labels.mkdir()
    unit = affine((1.0, 1.0, 1.0))
    label = nifti(labels / "a.nii", TRUTH, sform=unit)
    sitk.WriteImage(sitk.ReadImage(str(label)), str(predictions / "a.nii.gz"))
    nifti(labels / "b.nii", TRUTH, sform=unit)
    nifti(predictions / "b.nii", TRUTH, sform=unit, qform=unit)
    nifti(predictions / "p4.nii", TRUTH)
    lines = [
        "space: LPS",
        "space directions: (1.5,0,0) (0,1.25,0) (0,0,2.5)",
        f"space origin: ({-20 + 1.5},{31.5 + 1.25},700.25)",
        "Segment0_Name:=embolus",
        "Segment0_LabelValue:=1",
        "Segment0_Layer:=0",
    ]
    nrrd(labels / "p4.seg.nrrd", np.ascontiguousarray(TRUTH[:, 1:5, 1:6]), lines)

    evaluation = evaluate_folder(predictions, labels)

    assert not evaluation.failures
    assert [case.case_id for case in evaluation.cases] == ["a", "b", "p4"]
    for case in evaluation.cases:
        assert case.values["dice"] == 1
        assert case.values["truth_ml"] == pytest.approx(VOXELS * VOXEL_MM3 / 1000)
    notes = [(note.code, note.message) for note in evaluation.notes if note.code.startswith("PE-NII")]
    assert [(code, message.split(":")[0]) for code, message in notes] == [
        ("PE-NII-014", "a"),
        ("PE-NII-014", "b"),
        ("PE-NII-016", "b"),
        ("PE-NII-017", "p4"),
    ]
    assert "spacing 1.5, 1.25, 2.5 mm" in notes[0][1]
    assert "spacing 1, 1, 1 mm" in notes[0][1]
