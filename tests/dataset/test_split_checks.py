"""What is wrong with a splits_final.json is named, and what is right passes."""

from __future__ import annotations

import json

import pytest

from pe_nnunet.dataset.split_checks import (
    check_fold,
    left_out,
    read_checked_splits,
    read_splits,
    shared_patients,
    split_of,
    too_few_cases,
    what_is_wrong,
)
from pe_nnunet.errors import ConfigurationError

FOLDS = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]
CASES = ["case_01", "case_02", "case_03", "case_04"]


def split(train, val):
    return {"train": train, "val": val}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], "an empty list, which has no folds"),
        ({}, "found dict"),
        ({"0": split(["case_01"], ["case_02"])}, "found dict"),
        (None, "found NoneType"),
        ("case_01", "found str"),
        (["case_01"], "fold 0, train"),
        ([{"train": ["case_01"]}], "fold 0, val: expected a list"),
        ([{"Train": ["case_01"], "val": ["case_02"]}], "fold 0, train: expected a list"),
        ([split("case_01", ["case_02"])], "fold 0, train: expected a list"),
        ([split([1, 2], [3])], "in quotation marks"),
        ([split(["case_01"], [])], "fold 0 has no validation cases"),
        ([split([], ["case_01"])], "fold 0 has no training cases"),
        ([split(["case_01"], ["case_02", "case_03", "case_02"])], "fold 0, val: case_02 more than once"),
        ([split(["case_01", "case_01"], ["case_02"])], "fold 0, train: case_01 more than once"),
        ([split(["case_01", "Case_02"], ["case_03"])], r"no case Case_02 \(case_02\?\)"),
        ([split(["case_01"], ["case_02.nii.gz"])], r"val: no case case_02.nii.gz \(case_02\?\)"),
        ([split(["case_01"], ["case_02"]), split(["case_01"], ["case-9"])], "fold 1, val: no case case-9"),
        ([split(["case_01", "case_02"], ["case_02", "case_03"])], "case_02 in training and in validation"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, text):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=f"PE-TRAIN-012: .*splits_final.json: .*{text}"):
        read_checked_splits(path, CASES)


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_what_is_no_json_is_named(tmp_path, text):
    path = tmp_path / "splits_final.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-012: .*cannot be read"):
        read_checked_splits(path, CASES)


def test_a_byte_order_mark_is_named(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([split(CASES[:3], CASES[3:])]).encode())
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-012: .*begins with a byte order mark"):
        read_checked_splits(path, CASES)


def test_the_first_folder_with_splits_counts(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    with pytest.raises(ConfigurationError, match=r"PE-DET-004: no splits_final.json in .*a or .*b; convert"):
        read_splits(first, second, code="PE-DET-004", hint="convert")
    (second / "splits_final.json").write_text(json.dumps(FOLDS))
    assert read_splits(first, second, code="PE-DET-004") == FOLDS
    assert split_of(FOLDS, "1", dataset="D", code="PE-FUS-006") == FOLDS[1]
    for fold in ("2", "all"):
        with pytest.raises(ConfigurationError, match=rf"PE-FUS-006: .*no fold {fold}; take one of 0, 1"):
            split_of(FOLDS, fold, dataset="D", code="PE-FUS-006")
    (first / "splits_final.json").write_text('[{"train": ["a"], "val": "b"}]')
    with pytest.raises(ConfigurationError, match=r"PE-DET-004: .*fold 0, val: expected a list"):
        read_splits(first, second, code="PE-DET-004")


def test_cases_that_no_fold_uses_or_validates_are_noted():
    folds = [split(["case_01", "case_02"], ["case_03"]), split(["case_01", "case_03"], ["case_02"])]
    notes = left_out(folds, CASES)
    assert [note.code for note in notes] == ["PE-TRAIN-012"] * 2
    assert notes[0].message.startswith("splits_final.json: case_04 in no fold")
    assert notes[1].message.startswith("splits_final.json: case_01 in the validation of no fold")
    assert left_out([*folds, split(["case_02"], ["case_01", "case_04"])], CASES) == []
    assert left_out([split(CASES[:3], CASES[3:])], CASES) == []


def test_right_splits_are_read(tmp_path):
    folds = [split(CASES[:3], CASES[3:]), split(CASES[1:], CASES[:1])]
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(folds))
    assert read_checked_splits(path, CASES) == folds
    assert what_is_wrong(folds, CASES) is None


@pytest.mark.parametrize("fold", [-1, 2, 7, "abc", "-1"])
def test_a_fold_that_is_not_there_is_refused(fold):
    with pytest.raises(ConfigurationError, match=rf"PE-TRAIN-013: there is no fold {fold}: the file has folds 0 to 1"):
        check_fold(fold, 2, "the file")
    check_fold(1, 2, "the file")


def test_five_folds_need_five_cases():
    assert [bool(too_few_cases(count)) for count in range(7)] == [True] * 5 + [False] * 2


def test_scans_of_one_patient_on_both_sides_are_noted():
    folds = [split(["case_01", "case_02"], ["case_03"]), split(["case_01", "case_03"], ["case_02"])]
    patients = {"case_01": "p", "case_02": "q", "case_03": "q"}
    (first, second) = shared_patients(folds, patients)
    assert (first.code, first.message[:75]) == (
        "PE-TRAIN-016",
        "fold 0: scans of one patient in training and validation, case_02 and case_0",
    )
    assert second.message.startswith("fold 1:")
    assert shared_patients(folds, {}) == []
    assert shared_patients(folds, {"case_01": "p", "case_02": "q", "case_03": "r"}) == []
