"""calibrate --from masks: each model's masks by its own dataset.json, on the grid of the scan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.out_of_fold import masks_as_probability, require_outputs
from pe_nnunet.calibration.validation_cases import ValidationCase
from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError, GeometryError, InputError
from pe_nnunet.metrics.instances import LabelKind

SHAPE = (2, 3, 4)
LABELS = {"A": {"background": 0, "PE": 1}, "B": {"background": 0, "artery": 1, "PE": 2}}


def image(values: NDArray[np.uint8], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> sitk.Image:
    made = sitk.GetImageFromArray(values)
    made.SetSpacing(spacing)
    return made


@pytest.fixture
def case(tmp_path: Path) -> ValidationCase:
    """A calls the voxel 0 0 0 an embolus; B that one too, and 0 0 1 an artery."""
    outputs = {}
    for model, labels in LABELS.items():
        folder = tmp_path / "Dataset501_X" / model / "fold_0" / "validation"
        folder.mkdir(parents=True)
        (folder.parents[1] / "dataset.json").write_text(json.dumps({"labels": labels}))
        values = np.zeros(SHAPE, np.uint8)
        values[0, 0, :2] = (1, 0) if model == "A" else (2, 1)
        outputs[model] = folder / "a.nii.gz"
        sitk.WriteImage(image(values), str(outputs[model]))
    return ValidationCase("a", "0", tmp_path, tmp_path, LabelKind("instances"), (), None, outputs)


def test_each_model_says_what_its_masks_mean(case: ValidationCase) -> None:
    share = masks_as_probability(case, image(np.zeros(SHAPE, np.uint8)))
    assert share.dtype == np.float32
    assert share.shape == SHAPE
    assert [share[0, 0, 0], share.sum()] == [1.0, 1.0]  # the artery of B is none


def test_a_value_that_has_no_name_is_refused(case: ValidationCase) -> None:
    sitk.WriteImage(image(np.full(SHAPE, 2, np.uint8)), str(case.outputs["A"]))
    with pytest.raises(InputError, match=r"mask of case a by A holds 2, expected only.* 0, 1") as error:
        masks_as_probability(case, image(np.zeros(SHAPE, np.uint8)))
    assert error.value.code == "PE-EVAL-016"


def test_a_mask_on_another_grid_is_refused(case: ValidationCase) -> None:
    with pytest.raises(GeometryError, match="the validation mask of case a by A") as error:
        masks_as_probability(case, image(np.zeros(SHAPE, np.uint8), (1.0, 1.0, 2.0)))
    assert error.value.code == "PE-GEO-002"


def test_a_mask_that_is_gone_is_a_prediction_and_no_label(case: ValidationCase) -> None:
    require_outputs([case])
    case.outputs["B"].unlink()
    with pytest.raises(ConfigurationError, match=r"fold 0 of B has no prediction of a: .* does not exist") as error:
        require_outputs([case])
    assert error.value.code == "PE-EVAL-011"


def test_fold_all_is_refused_for_what_it_is_where_no_such_fold_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    assert main(["calibrate", "-d", "501", "-tr", "T", "-p", "P", "-f", "all"]) == 2
    assert capsys.readouterr().err.startswith("PE-EVAL-012: fold all was trained on every scan")
