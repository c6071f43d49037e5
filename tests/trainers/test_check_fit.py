"""A few patches are learned by heart, and what keeps a network from it is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from pe_nnunet.cli import main
from pe_nnunet.sampling import index as embolus_index

RECIPE = "learning_rate=0.01 dice_weight=1 warmup_fraction=0.05"
COMMAND = ("check-fit", "-d", "601", "--device", "cpu", "--minutes", "10")


@pytest.fixture
def planned(workplace, monkeypatch):
    workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"])
    monkeypatch.setenv("PE_NNUNET_RECIPE", RECIPE)
    return workplace


def test_patches_are_learned_and_nothing_is_kept(planned, capsys):
    before = sorted((planned.folder / "nnUNet_results").rglob("*"))
    assert main([*COMMAND, "--steps", "120"]) == 0
    assert "learned: Dice" in capsys.readouterr().out
    assert sorted((planned.folder / "nnUNet_results").rglob("*")) == before


def test_a_learning_rate_of_zero_learns_nothing(planned, capsys, monkeypatch):
    monkeypatch.setenv("PE_NNUNET_RECIPE", "learning_rate=0")
    assert main([*COMMAND, "--steps", "3"]) == 2
    assert "PE-TRAIN-009" in (text := capsys.readouterr().err)
    assert "the loss does not fall" in text


def test_a_time_that_is_too_short_says_nothing_of_the_labels(planned, capsys):
    assert main([*COMMAND, "--minutes", "0"]) == 2
    said = capsys.readouterr()
    assert "step 1: loss" in said.out  # and its Dice
    assert "PE-TRAIN-009" in said.err
    assert "the time was too short (step 1, loss" in said.err
    assert "labels that" not in said.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-d", "999"), "0 datasets"),
        (("-tr", "nnUNetTrainer"), "none of our trainers"),
        (("-p", "OtherPlans"), "PETARUNetPlans"),
        (("-c", "3d_lowres"), "not preprocessed"),
    ],
)
def test_what_is_missing_is_named(planned, capsys, arguments, text):
    assert main([*COMMAND, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("PE-TRAIN-007")
    assert text in error


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("-f", "abc"), "PE-TRAIN-013"), (("--device", "gpu"), "PE-ENV-004"), (("--steps", "0"), "PE-TRAIN-002")],
)
def test_a_bad_option_is_one_line(planned, capsys, arguments, code):
    assert main([*COMMAND, *arguments]) == 2
    assert f"{code}: " in capsys.readouterr().err


def test_a_configuration_that_inherits(planned, capsys):
    path = planned.preprocessed("pe") / "PETARUNetPlans.json"
    plans = json.loads(path.read_text())
    plans["configurations"]["3d_two"] = {"inherits_from": "3d_fullres", "batch_size": 2}
    path.write_text(json.dumps(plans))
    assert main([*COMMAND, "-c", "3d_two", "-f", "7"]) == 2  # known, so that it comes to the fold
    assert "PE-TRAIN-013" in capsys.readouterr().err


def test_cases_without_emboli(planned, capsys, monkeypatch):
    read = nnUNetDatasetBlosc2.load_case

    def without(self, case):
        image, label, *rest = read(self, case)
        return image, np.zeros_like(label[:]), *rest

    monkeypatch.setattr(nnUNetDatasetBlosc2, "load_case", without)
    monkeypatch.setattr(embolus_index, "FOLDER", "another_index")
    assert main(list(COMMAND)) == 2
    assert "PE-TRAIN-008" in capsys.readouterr().err
