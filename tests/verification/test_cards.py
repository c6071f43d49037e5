"""Cards beside a model: whole ones have no finding, and what was changed in them, or in the files, is said."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model_card import KEY
from pe_nnunet.model_cards.card import card_text, read_card
from pe_nnunet.model_cards.make import Stated, make_card
from pe_nnunet.verification.verify import verify

SUMMARY: dict[str, Any] = {
    "cohort": {"scans": 5, "positive_scans": 4, "emboli": 9, "f1": 0.6},
    "intervals": {"f1": [0.5, 0.7]},
    "froc": {},
    "failed": 0,
    "failures": [],
    "notes": [],
    "version": "0.9",
}


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "scores"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


@pytest.fixture
def model(model_folder: Callable[..., Path], evaluation: Path) -> Path:
    """A calibrated model with a card."""
    folder = model_folder()
    checkpoint = folder / "fold_0" / "checkpoint_final.pth"
    digest = sha256(checkpoint.read_bytes()).hexdigest()
    chosen = {"model": folder.name, "fold": "0", "checkpoint": checkpoint.name, "sha256": digest}
    point = {"settings": {"threshold": 0.4, "min_volume_mm3": 5}, "f1": 0.5, "budgets": []}
    content = {"format": 2, "segmentation": point, "fusion": None, "boxes": None, "ensemble": [folder.name]}
    (folder / "fusion.json").write_text(json.dumps(content | {"chosen_on": {"models": [chosen], "detector": None}}))
    stated = Stated("CC0-1.0", evaluations=(("Site B", evaluation),))
    (folder / "README.md").write_text(make_card(locate_folder(folder, None), stated, calibrated=True)[0])
    return folder


def rewritten(model: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """A card that is consistent with itself, and not with the files."""
    facts, _ = read_card(model / "README.md")
    change(facts)
    (model / "README.md").write_text(card_text(facts))


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def findings(place: Path) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for checked in verify(place) for finding in checked.findings]


def test_a_card_as_it_was_written_has_no_finding(model: Path, evaluation: Path) -> None:
    (checked, scores) = verify(model, evaluations=[evaluation])
    assert (checked.files, list(checked.findings)) == (5, [])
    assert (scores.path, list(scores.findings)) == (evaluation, [])
    path = model / "README.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as git does on Windows
    assert findings(model) == []
    path.write_text("# Notes of my own\n")
    assert findings(model) == []


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda m: replaced(m / "README.md", "F1 of emboli | 0.600", "F1 of emboli | 0.900"), "PE-VER-010", "0.900"),
        (
            lambda m: replaced(m / "README.md", "license: cc0-1.0", "license: mit"),
            "PE-VER-010",
            "line 2 is 'license: m",
        ),
        (lambda m: replaced(m / "README.md", "# Intended use", "# Use in the clinic"), "PE-VER-010", "clinic"),
        (lambda m: rewritten(m, lambda f: f["network"].update(numbers=7)), "PE-VER-011", "network, numbers is 7"),
        (lambda m: rewritten(m, lambda f: f["calibration"]["points"].popitem()), "PE-VER-011", "segmentation alone"),
        (lambda m: rewritten(m, lambda f: f["folds"][0].update(epochs=900)), "PE-VER-011", "epochs is 900"),
        (
            lambda m: replaced(m / "dataset.json", '"numTraining": 4', '"numTraining": 40'),
            "PE-VER-011",
            "files have 40",
        ),
        (lambda m: (m / "fusion.json").unlink(), "PE-VER-003", "fusion.json is missing"),
        (
            lambda m: replaced(m / "fusion.json", '"threshold": 0.4', '"threshold": 0.3'),
            "PE-VER-014",
            "calibrated again",
        ),
        (lambda m: (m / "README.md").write_text((m / "README.md").read_text()[:300] + f"\n{KEY}:\n"), "PE-VER-012", ""),
        (
            lambda m: (m / "README.md").write_text(f"---\na: &a [1]\nb: [*a, *a]\n{KEY}: 1\n---\n"),
            "PE-VER-012",
            "refer",
        ),
        (lambda m: (m / "README.md").write_text(f"---\n{KEY}: {'[' * 5000}\n---\n"), "PE-VER-012", ""),
        (lambda m: replaced(m / "README.md", "folds:\n", "folds: 3\n  more:\n"), "PE-VER-012", ""),
    ],
)
def test_what_was_changed_is_said(model: Path, change: Callable[[Path], Any], code: str, said: str) -> None:
    change(model)
    found = findings(model)
    assert code in {one for one, _ in found}
    assert said in next(message for one, message in found if one == code)


def test_a_licence_that_the_model_does_not_have(model: Path) -> None:
    path = model / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"licence": "CC-BY-NC-4.0"}))
    assert any("the licence is CC0-1.0" in message for _, message in findings(model))


def test_scores_are_compared_with_their_evaluation(model: Path, evaluation: Path) -> None:
    rewritten(model, lambda facts: facts["evaluations"][0]["metrics"]["f1"].update(value=0.95))
    _, scores = verify(model, evaluations=[evaluation])
    (finding,) = scores.findings
    assert (finding.code, "f1, value is 0.95, and its files have 0.6" in finding.message) == ("PE-VER-011", True)
    (evaluation / "summary.json").write_text(json.dumps(SUMMARY | {"version": "1.0"}))
    _, scores = verify(model, evaluations=[evaluation])
    assert [finding.code for finding in scores.findings] == ["PE-VER-013"]


def test_a_card_in_an_archive_is_compared_too(model: Path, tmp_path: Path) -> None:
    def lying(place: Any, calibrated: bool) -> tuple[str, list[Any]]:
        text, notes = make_card(place, Stated(), calibrated=calibrated)
        return re.sub(r"(epochs:) .*", r"\1 900", text), notes

    path = tmp_path / "model.zip"
    export_models([locate_folder(model, None)], path, card_of=lying)
    assert any(name.endswith("/README.md") for name in zipfile.ZipFile(path).namelist())
    found = findings(path)
    assert {code for code, _ in found} == {"PE-VER-010", "PE-VER-011"}
    assert all(message.startswith(f"{path}: Dataset501_PE/") for _, message in found)
