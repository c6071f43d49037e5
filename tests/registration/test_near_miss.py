"""Misspelt names of ours under nnU-Net's commands, with functions that stand for nnU-Net's look-up."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.registration import lookup, near_miss
from pe_nnunet.registration.near_miss import misspelt_planner, remember

Find = Any


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What nnU-Net's process shows as a traceback."""
    shown: list[BaseException] = []
    monkeypatch.setattr(near_miss, "_missing", {})
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: shown.append(error))
    return shown


@pytest.fixture
def find() -> Find:
    """A look-up that has one planner of another's, in a folder below the first."""
    module = ModuleType("stands_for_nnunet")

    def stock(folder: str, class_name: str, current_module: str | None) -> Any:
        if folder == "top":
            return vars(module)["_recursive_find_python_class"]("below", class_name, current_module)
        return class_name if class_name in ("PETARUNetPlannerMine", "DatasetFingerprintExtractor") else None

    vars(module).update(recursive_find_python_class=stock, _recursive_find_python_class=stock)
    lookup.extend(module)
    return vars(module)["_recursive_find_python_class"]


def ends_with(error: BaseException) -> None:
    sys.excepthook(type(error), error, None)


@pytest.mark.parametrize(
    ("name", "near", "error"),
    [
        (
            "PETARUnetTrainer",
            "PETARUNetTrainer",
            RuntimeError("Could not find requested nnunet trainer PETARUnetTrainer"),
        ),
        (
            "TARUNetTrainer",
            "PETARUNetTrainer",
            RuntimeError("Could not find requested nnunet trainer TARUNetTrainer"),
        ),
        ("PEAANetPlaner", "PEAANetPlanner", TypeError("'NoneType' object is not callable")),
    ],
)
def test_a_near_miss_is_one_line(
    find: Find, hooks: list[BaseException], capsys: pytest.CaptureFixture[str], name: str, near: str, error: Exception
) -> None:
    assert find("top", name, "m") is None
    ends_with(error)
    assert capsys.readouterr().err == f"PE-ENV-007: nnU-Net has no {name}; did you mean {near}?\n"
    assert hooks == []


@pytest.mark.parametrize("name", ["nnUNetTrainerr", "nnUNetTrainer_9epochs", "nnUNetPlannerResEncX"])
def test_names_that_are_not_ours_end_as_nnunet_ends(find: Find, hooks: list[BaseException], name: str) -> None:
    before = sys.excepthook
    assert find("top", name, "m") is None
    assert sys.excepthook is before


def test_another_error_keeps_its_traceback(find: Find, hooks: list[BaseException]) -> None:
    find("top", "PETARUnetTrainer", "m")
    errors = [RuntimeError("out of memory"), TypeError("'NoneType' object is not callable"), ValueError("x")]
    for error in errors:
        ends_with(error)
    assert hooks == errors


def test_a_class_found_below_is_no_miss(find: Find) -> None:
    before = sys.excepthook
    assert find("top", "PETARUNetPlannerMine", "m") == "PETARUNetPlannerMine"
    assert sys.excepthook is before


def test_a_misspelt_planner_is_told_before_the_fingerprint(
    find: Find, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hooks: list[BaseException]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_plan_and_preprocess", "-d", "501", "-pl", "PETARUnetPlanner"])
    with pytest.raises(ConfigurationError, match="did you mean PETARUNetPlanner") as caught:
        find("top", "DatasetFingerprintExtractor", "m")
    ends_with(caught.value)
    assert capsys.readouterr().err.startswith("PE-ENV-007: nnU-Net has no PETARUnetPlanner; ")
    assert hooks == []
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_plan_and_preprocess", "-pl=PETARUNetPlannerMine"])
    assert find("top", "DatasetFingerprintExtractor", "m") == "DatasetFingerprintExtractor"


def test_what_is_near() -> None:
    assert remember("nnUNetTrainer") is None
    assert misspelt_planner(["command", "-pl", "PETARUNetPlanner"]) is None
    assert misspelt_planner(["command", "-pl", "nnUNetPlannerResEncL"]) is None
    assert misspelt_planner(["command", "-pl=petarunetplaner"]) == "petarunetplaner"
