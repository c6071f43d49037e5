"""What values mean by dataset.json, in the forms in which datasets have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet.dataset.label_values import LabelValues, class_label_of, dataset_json_beside, read_label_values
from pe_nnunet.errors import ConfigurationError

WHERE = Path("dataset.json")


@pytest.mark.parametrize(
    ("labels", "name", "embolus", "ignored", "several"),
    [
        ({"background": 0, "PE": 1}, "PE", (1,), (), False),
        ({"background": 0, "PE": 1, "ignore": 2}, "PE", (1,), (2,), False),
        ({"background": 0, "artery": [1, 2], "PE": 2, "ignore": 3}, "PE", (2,), (3,), True),
        ({"background": 0, "vein": 1, "Pulmonary Embolism": [3, 2]}, "Pulmonary Embolism", (2, 3), (), True),
        ({"background": 0, "lesion": 1}, "lesion", (1,), (), False),
        ({"0": "background", "1": "artery", "2": "emboli"}, "emboli", (2,), (), True),  # nnU-Net v1
        ({"background": "0", "clot": "1"}, "clot", (1,), (), False),
    ],
)
def test_labels(labels: Any, name: str, embolus: Any, ignored: Any, several: bool) -> None:
    found = LabelValues.of(labels, WHERE)
    assert (found.name, found.embolus, found.ignored, found.several_classes) == (name, embolus, ignored, several)
    assert found.named == (name != "lesion")


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "artery": 1},
        {"background": 0, "left": 1, "right": 2},
        {"background": 0, "PE": 1, "clot": 2},
        {"background": 0},
        {"background": 0, "ignore": 1},
        {"background": 0, "PE": [0, 1]},
        {"background": 0, "PE": 1.5},
        {"background": 0, "PE": []},
        {"background": 0, "PE": [1, 2], "ignore": 2},
        {"background": 0, "PE": 1, "ignore": 0},
        {"background": 0, "PE": 1, "ignore": [2, 3]},
        {"background": 0, "PE": None},
        ["background", "PE"],
        {},
    ],
)
def test_labels_that_name_no_embolus(labels: Any) -> None:
    with pytest.raises(ConfigurationError, match="PE-EVAL-014"):
        _ = LabelValues.of(labels, WHERE).embolus


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"labels": 3}'])
def test_files_that_say_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    for path in (tmp_path, tmp_path / "dataset.json", tmp_path / "none.json"):
        with pytest.raises(ConfigurationError, match="PE-EVAL-014"):
            read_label_values(path)


def test_where_it_lies(tmp_path: Path) -> None:
    def write(*folders: str, name: str = "dataset.json") -> Path:
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        path = tmp_path / folders[0] / name
        path.write_text(json.dumps({"labels": {}}))
        return path

    raw = write("raw", "raw/labelsTr", "raw/labelsTs", "raw/pe_nnunet/instances", "raw/predictions")
    for folder in ("raw", "raw/labelsTr", "raw/labelsTs", "raw/pe_nnunet/instances"):
        assert dataset_json_beside(tmp_path / folder) == raw
    assert dataset_json_beside(tmp_path / "raw" / "predictions") is None
    (tmp_path / "raw" / "labelsTr" / "a.nii.gz").touch()
    assert class_label_of(tmp_path / "raw/pe_nnunet/instances/a.nii.gz", raw) == tmp_path / "raw/labelsTr/a.nii.gz"
    assert class_label_of(tmp_path / "raw/pe_nnunet/instances/b.nii.gz", raw) is None
    (tmp_path / "link").symlink_to(tmp_path / "raw" / "labelsTr")
    assert dataset_json_beside(tmp_path / "link") == raw
    model = write("model", "model/fold_0/validation")
    assert dataset_json_beside(tmp_path / "model" / "fold_0" / "validation") is None  # no model without plans
    write("model", name="plans.json")
    assert dataset_json_beside(tmp_path / "model" / "fold_0" / "validation") == model
    assert dataset_json_beside(tmp_path / "model" / "fold_0") == model
