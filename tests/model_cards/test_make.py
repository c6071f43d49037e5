"""Cards: numbers are those of the files, no case is named, and Hugging Face's own parser reads the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from pe_nnunet.dataset.training_split import KEY, TrainingSplit
from pe_nnunet.errors import PEError
from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.archive_install import install_models
from pe_nnunet.inference.locate import ModelLocation, locate_folder
from pe_nnunet.inference.model_card import model_cards
from pe_nnunet.model_cards.card import altered, read_card
from pe_nnunet.model_cards.make import Stated, make_card

CHECKPOINT = "checkpoint_final.pth"
SUMMARY: dict[str, Any] = {
    "cohort": {
        "scans": 12,
        "positive_scans": 9,
        "emboli": 40,
        "dice": 0.5123,
        "sensitivity": 0.75,
        "f1": 0.6,
        "patients": {"sensitivity": 0.875, "specificity": None},
    },
    "intervals": {"dice": [0.4, 0.61], "sensitivity": [0.65, 0.85], "f1": [0.5, 0.7], "patient_sensitivity": [0.5, 1]},
    "froc": {
        "cad-pe": {
            "0": {"sensitivity_at_fp": {"1": 0.5, "2": 0.7}, "sensitivity_at_fp_interval": {"1": [0.4, 0.6]}},
            "5": {"sensitivity_at_fp": {"1": 0.9}, "sensitivity_at_fp_interval": {"1": [0.8, 1.0]}},
        }
    },
    "failed": 1,
    "failures": [{"case_id": "Doe_Jane_3", "code": "PE-IN-001", "message": "Doe_Jane_3 is gone"}],
    "notes": [{"code": "PE-EVAL-013", "kind": "warning", "message": "Doe_Jane_1 may have been seen"}],
    "settings": {},
    "scored_labels": {"Doe_Jane_1": {}},
    "version": "0.9",
}


@pytest.fixture
def location(model_folder: Callable[..., Path]) -> ModelLocation:
    """Two folds that name their training scans, by a patient's name, and a recipe."""
    folder = model_folder(folds=(0, 1))
    for fold, held in ((0, "Doe_Jane_1"), (1, "Doe_Jane_2")):
        path = folder / f"fold_{fold}" / CHECKPOINT
        content = torch.load(path, weights_only=True)
        scans = {"Doe_Jane_1": ("a1", "b1"), "Doe_Jane_2": ("a2",), "Doe_Jane_3": ("a3",)}
        val = {held: scans.pop(held)}
        content[KEY] = TrainingSplit("Dataset501_PE", str(fold), scans, val).to_plain()
        torch.save(content | {"pe_recipe": {"epochs": 7, "loss": "dice-focal"}, "current_epoch": 7 - fold}, path)
    return locate_folder(folder, None)


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


def calibrate(folder: Path) -> None:
    """A calibration of this model, with what it comes to on other patients."""
    weights = [
        {"model": folder.name, "fold": path.parent.name[5:], "checkpoint": CHECKPOINT, "sha256": digest(path)}
        for path in sorted(folder.glob(f"fold_*/{CHECKPOINT}"))
    ]
    rates = {"sensitivity": 0.8, "false_positives_per_scan": 2.5, "f1": 0.55, "found": 8, "emboli": 10}
    content = {
        "format": 3,
        "objective": "F1 of emboli",
        "segmentation": {"settings": {"threshold": 0.4, "min_volume_mm3": 30}, **rates, "budgets": []},
        "fusion": None,
        "boxes": None,
        "default": {"settings": {"threshold": 0.5, "min_volume_mm3": 5}, **rates, "f1": 0.31},
        "cross_validated": {"patients": 6, **rates, "f1": 0.45, "intervals": {"f1": [0.25, 0.65]}},
        "ensemble": [folder.name],
        "model_weights": {folder.name: 1.0},
        "chosen_on": {"scans": ["Doe_Jane_1", "Doe_Jane_2"], "models": weights, "detector": None},
    }
    (folder / "fusion.json").write_text(json.dumps(content))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(path: Path, text: str) -> dict[str, Any]:
    path.write_text(text)
    return read_card(path)[0]


def test_the_numbers_are_those_of_the_files(location: ModelLocation, evaluation: Path, tmp_path: Path) -> None:
    calibrate(location.folder)
    text, notes = make_card(location, Stated(evaluations=(("Site B", evaluation),)), calibrated=True)
    facts = written(tmp_path / "README.md", text)
    assert notes == []
    plans = json.loads((location.folder / "plans.json").read_text())
    ((configuration, settings),) = plans["configurations"].items()
    network = get_network_from_plans(*settings["architecture"].values(), 1, 2, deep_supervision=False)
    assert facts["network"]["numbers"] == sum(parameter.numel() for parameter in network.parameters())
    assert facts["plans"]["configuration"] == configuration
    assert facts["plans"]["spacing_mm"] == [4.0, 4.0, 4.0]
    first, second = facts["folds"]
    assert first["sha256"] == digest(location.folder / "fold_0" / CHECKPOINT)
    assert (first["epochs"], second["epochs"]) == (7, 6)
    # of each scan its hashes in order, a line each, in order
    assert first["trained_on"] == {"scans": 2, "sha256": hashlib.sha256(b"a2\na3").hexdigest()}
    assert first["validated_on"] == {"scans": 1, "sha256": hashlib.sha256(b"a1 b1").hexdigest()}
    assert facts["recipes"] == [{"folds": ["0", "1"], "values": {"epochs": 7, "loss": "dice-focal"}}]
    calibration = facts["calibration"]
    assert (calibration["scans"], calibration["points"]["segmentation alone"]["threshold"]) == (2, 0.4)
    assert calibration["on_other_patients"]["f1"] == {"value": 0.45, "low": 0.25, "high": 0.65}
    assert calibration["on_other_patients"]["sensitivity"] == {"value": 0.8, "low": None, "high": None}
    (scored,) = facts["evaluations"]
    assert scored["sha256"] == digest(evaluation / "summary.json")
    assert scored["metrics"]["dice"] == {"value": 0.5123, "low": 0.4, "high": 0.61}
    assert scored["metrics"]["patient_sensitivity"] == {"value": 0.875, "low": 0.5, "high": 1.0}
    assert "patient_specificity" not in scored["metrics"]
    assert scored["sensitivity_at_fp"][0]["at"]["2"] == {"value": 0.7, "low": None, "high": None}
    for shown in ("| 0.512 [0.400, 0.610] |", "F1 0.450 [0.250, 0.650]", "8 of 10", "not stated", "Site B has 3 such"):
        assert shown in text
    assert "PE-EVAL-013" in text
    assert "Doe" not in text


def test_one_number_of_features_for_all_stages(location: ModelLocation) -> None:
    path = location.folder / "plans.json"
    plans = json.loads(path.read_text())
    (settings,) = plans["configurations"].values()
    settings["architecture"]["arch_kwargs"]["features_per_stage"] = 8
    path.write_text(json.dumps(plans))
    assert "| features | 8 |" in make_card(location, Stated(), calibrated=False)[0]


def test_hugging_face_reads_it(location: ModelLocation, evaluation: Path) -> None:
    from huggingface_hub import ModelCard

    calibrate(location.folder)
    stated = Stated("CC-BY-NC 4.0", "Doe et al.", evaluations=(("Site B", evaluation),))
    text, _ = make_card(location, stated, calibrated=True)
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-nc-4.0", "pe_nnunet", "image-segmentation")
    assert data.datasets == ["Dataset501_PE"]
    assert "pulmonary-embolism" in data.tags
    values = {(one.dataset_name, one.metric_type): one.metric_value for one in data.eval_results}
    assert values["Site B", "recall"] == 0.75
    assert values["Site B", "f1"] == 0.6
    assert values["Dataset501_PE, cross-validated calibration", "f1"] == 0.45
    of_f1 = next(one for one in data.eval_results if (one.dataset_name, one.metric_type) == ("Site B", "f1"))
    assert of_f1.metric_args == {"interval_95_low": 0.5, "interval_95_high": 0.7}
    assert ModelCard(make_card(location, Stated(), calibrated=False)[0]).data.license == "unknown"


def test_a_model_of_stock_nnunet_says_what_nobody_knows(model_folder: Callable[..., Path]) -> None:
    text, _ = make_card(locate_folder(model_folder(), None), Stated(limits="children"), calibrated=False)
    for shown in ("not recorded", "keep no recipe", "no evaluation is on this card", "children", "no calibration goes"):
        assert shown in text


def test_a_calibration_that_leaves_defaults_out(location: ModelLocation, tmp_path: Path) -> None:
    calibrate(location.folder)
    path = location.folder / "fusion.json"
    content = json.loads(path.read_text())
    for key in ("objective", "default", "cross_validated", "chosen_on"):
        del content[key]
    content["segmentation"] = {"settings": {"threshold": 0.4}, "budgets": []}
    path.write_text(json.dumps(content))
    text, _ = make_card(location, Stated(), calibrated=True)
    point = written(tmp_path / "README.md", text)["calibration"]["points"]["segmentation alone"]
    assert (point["min_volume_mm3"], point["f1"]) == (5.0, None)
    assert "| segmentation alone | 0.4 | 5 mm³ | - | - | - | - |" in text


def test_markup_of_others_has_no_meaning(location: ModelLocation) -> None:
    path = location.folder / "dataset.json"
    content = json.loads(path.read_text())
    harmful = "<script>x</script> | [a](http://b) \x1b[31m"
    path.write_text(json.dumps(content | {"description": harmful, "licence": harmful, "citation": f"```\n{harmful}"}))
    text, _ = make_card(location, Stated(), calibrated=False)
    body = text.split("\n---\n")[1]
    outside, block = body.split("## Citation\n\n```\n")
    assert "<script>" not in outside
    assert "[a](" not in outside
    assert "\x1b" not in text
    assert block.startswith("'''\n<script>")
    assert block.count("```") == 3  # the end of the citation, and the command below


def test_weights_keep_their_licence(location: ModelLocation) -> None:
    path = location.folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"licence": "CC BY-NC 4.0", "citation": "Roe 2020"}))
    with pytest.raises(PEError, match="states CC BY-NC") as caught:
        make_card(location, Stated("MIT"), calibrated=False)
    assert caught.value.code == "PE-MODEL-026"
    text, _ = make_card(location, Stated("cc-by-nc-4.0"), calibrated=False)
    assert "license: cc-by-nc-4.0\n" in text
    assert "weights: CC BY-NC 4.0\n" in text
    assert "Roe 2020" in text


@pytest.mark.parametrize("content", ["{}", "[]", '{"cohort": {"scans": 1}, "intervals": []', None])
def test_what_is_no_evaluation_is_refused(location: ModelLocation, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(PEError) as caught:
        make_card(location, Stated(evaluations=(("x", tmp_path),)), calibrated=False)
    assert caught.value.code == "PE-MODEL-027"


def test_an_archive_carries_the_card_and_an_installed_one_is_taken_up(
    location: ModelLocation, evaluation: Path, tmp_path: Path
) -> None:
    stated = Stated("CC0-1.0", "Doe et al.", "adults only", (("Site B", evaluation),))

    def export(place: ModelLocation, stated: Stated) -> tuple[Path, list[Any]]:
        path = tmp_path / "again.zip"
        return path, export_models(
            [place], path, card_of=lambda one, calibrated: make_card(one, stated, calibrated=calibrated)
        )[1]

    for name in ("elsewhere", "third"):
        (tmp_path / name).mkdir()
    path, _ = export(location, stated)
    ((installed,), _, _) = install_models(path, tmp_path / "elsewhere")
    first, text = read_card(installed / "README.md")
    assert altered(text, first) is None
    assert first["stated"] == {"licence": "CC0-1.0", "citation": "Doe et al.", "limits": "adults only"}
    assert first["calibration"] is None
    named = {installed.name: {"file": "README.md", "sha256": digest(installed / "README.md")}}
    assert (model_cards([installed]), model_cards([location.folder])) == (named, {})

    again, _ = install_models(export(locate_folder(installed, None), Stated())[0], tmp_path / "third")[:2]
    assert (again[0] / "README.md").read_bytes() == (installed / "README.md").read_bytes()

    one_fold = locate_folder(installed, ["0"])  # other weights: what was measured of both folds is not taken
    facts = written(tmp_path / "one.md", make_card(one_fold, Stated(), calibrated=False)[0])
    assert facts["evaluations"] == []
    assert facts["stated"]["licence"] == "CC0-1.0"

    (installed / "README.md").write_text(text.replace("adults only", "everybody"))
    changed, notes = make_card(locate_folder(installed, None), Stated(), calibrated=False)
    assert [note.code for note in notes] == ["PE-MODEL-028"]
    assert "everybody" not in changed
    (installed / "README.md").write_text("# My own\n")
    assert [note.code for note in make_card(one_fold, Stated(), calibrated=False)[1]] == ["PE-MODEL-028"]
