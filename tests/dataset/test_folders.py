from __future__ import annotations

import json
from pathlib import Path

import pytest

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.folders import (
    dataset_folder_name,
    nnunet_folder,
    require_free_id,
    stale_preprocessed,
)
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.errors import ConfigurationError

SPLITS = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]


@pytest.mark.parametrize(("value", "code"), [(None, "PE-ENV-001"), (" ", "PE-ENV-001"), ("/no/such", "PE-ENV-001")])
def test_unset_and_dangling_variables(monkeypatch: pytest.MonkeyPatch, value: str | None, code: str) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    if value is not None:
        monkeypatch.setenv("nnUNet_raw", value)
    with pytest.raises(ConfigurationError, match=code):
        nnunet_folder("nnUNet_raw")


def test_quotation_marks_in_a_variable_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("nnUNet_raw", f'"{tmp_path}"')
    with pytest.raises(ConfigurationError, match="quotation marks"):
        nnunet_folder("nnUNet_raw")


@pytest.mark.parametrize(
    ("dataset_id", "name", "expected"), [(1, "PE", "Dataset001_PE"), (501, "CAD-PE_2", "Dataset501_CAD-PE_2")]
)
def test_dataset_names(dataset_id: int, name: str, expected: str) -> None:
    assert dataset_folder_name(dataset_id, name) == expected


@pytest.mark.parametrize(
    ("dataset_id", "name"),
    [(0, "PE"), (1000, "PE"), (5, ""), (5, "a b"), (5, "a__b"), (5, "../x"), (5, "-x"), (5, "x_")],
)
def test_names_that_nnunet_cannot_hold(dataset_id: int, name: str) -> None:
    with pytest.raises(ConfigurationError, match="PE-CONV-001"):
        dataset_folder_name(dataset_id, name)


@pytest.mark.parametrize("variable", ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"])
def test_an_id_taken_in_any_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    (tmp_path / "Dataset007_Liver").mkdir()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path if name == variable else tmp_path / "Dataset007_Liver"))
    with pytest.raises(ConfigurationError, match=f"PE-ENV-003.*Dataset007_Liver in {variable}"):
        require_free_id(7, "Dataset007_PE")
    require_free_id(7, "Dataset007_Liver")
    require_free_id(8, "Dataset008_PE")


@pytest.mark.parametrize(
    ("held", "codes"),
    [
        (None, []),
        (json.dumps(SPLITS), []),
        (json.dumps([*SPLITS, {"train": ["a", "b"], "val": []}]), []),  # nnU-Net allows more folds than ours
        (json.dumps(SPLITS[::-1]), ["PE-CONV-018"]),
        (json.dumps(SPLITS[:1]), ["PE-CONV-018"]),
        ("{not json", ["PE-CONV-018"]),
    ],
)
def test_other_splits_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, held: str | None, codes: list[str]
) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    folder = tmp_path / "Dataset007_PE"
    folder.mkdir()
    if held is not None:
        (folder / "splits_final.json").write_text(held)
    assert [note.code for note in stale_preprocessed("Dataset007_PE", SPLITS, cases_changed=True)] == codes


@pytest.mark.parametrize(("changed", "codes"), [(True, ["PE-CONV-019"]), (False, [])])
def test_an_old_fingerprint_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: bool, codes: list[str]
) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    (tmp_path / "Dataset007_PE").mkdir()
    (tmp_path / "Dataset007_PE" / "dataset_fingerprint.json").write_text("{}")
    assert [note.code for note in stale_preprocessed("Dataset007_PE", SPLITS, cases_changed=changed)] == codes


@pytest.mark.parametrize(
    "settings",
    [
        {"lung_margin_mm": -1.0},
        {"lung_margin_mm": float("nan")},
        {"warn_below_mm3": float("inf")},
        {"folds": 1},
        {"num_processes": 0},
        {"resume": True, "overwrite": True},
    ],
)
def test_options_out_of_range(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="PE-CONV-004"):
        ConvertOptions(**settings)  # type: ignore[arg-type]


def test_the_digest_follows_what_changes_the_files_of_a_case() -> None:
    digest = ConvertOptions().case_digest()
    assert ConvertOptions(labels="elsewhere", folds=3, seed=1, num_processes=4, resume=True).case_digest() == digest
    assert ConvertOptions(lung_margin_mm=5).case_digest() != digest
    assert ConvertOptions(scheme="artery-pe").case_digest() != digest


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"labels": ["PE"]}'])
def test_a_dataset_json_that_names_no_labels(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ConfigurationError, match="PE-TRAIN-007"):
        read_dataset_json(tmp_path, "PE-TRAIN-007")
