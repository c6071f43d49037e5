"""Unknown names: the refusals of the package say which known one is near."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet.dataset.folders import dataset_folder
from pe_nnunet.dataset.split_checks import split_of
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean, nearest
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.named_models import find_model
from pe_nnunet.recipe import TrainingRecipe

MODEL = "PETARUNetTrainer__PETARUNetPlans__3d_fullres"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "Dataset501_MyPE" / MODEL
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").touch()
    for name in ("plans.json", "dataset.json"):
        (folder / name).write_text("{}")
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    return tmp_path


REFUSALS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "dataset name": (lambda results: dataset_folder(results, "MyPe"), "Dataset501_MyPE"),
    "dataset folder": (lambda results: dataset_folder(results, "Dataset501"), "Dataset501_MyPE"),
    "dataset id": (lambda results: dataset_folder(results, "510"), "Dataset501_MyPE"),
    "trainer": (
        lambda results: locate_folder(results / "Dataset501_MyPE" / MODEL.lower(), None),
        MODEL,
    ),
    "configuration": (lambda results: locate_folder(results / "Dataset501_MyPE" / MODEL[:-1], None), MODEL),
    "fold": (lambda results: locate_folder(results / "Dataset501_MyPE" / MODEL, ["fold0"]), "0"),
    "fold of splits": (lambda _: split_of([{"train": [], "val": []}], "fold_0", dataset="D", code="PE-FUS-006"), "0"),
    "model": (lambda _: find_model("MyPe2"), f"Dataset501_MyPE/{MODEL}"),
    "label scheme": (lambda _: ConvertOptions(scheme="artery_pe"), "artery-pe"),
    "recipe value": (lambda _: TrainingRecipe().updated({"little_start": "patch"}, "here"), "patches"),
    "recipe key": (lambda _: TrainingRecipe().updated({"epoch": 3}, "here"), "epochs"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_names_what_is_near(results: Path, what: str) -> None:
    refused, meant = REFUSALS[what]
    with pytest.raises(ConfigurationError) as caught:
        refused(results)
    assert f"did you mean {meant}?" in caught.value.hint


def test_nothing_is_near() -> None:
    assert nearest("zzz", ["2d", "3d_fullres"]) is None
    assert did_you_mean("zzz", ["2d"], "there: 2d") == "there: 2d"
    assert did_you_mean("zzz", []) == ""
