"""What a checkpoint says of the scans that it was trained on, without a training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.trainers.split_record import SplitRecord

HASHES = {"a": ("1",), "b": ("2",), "c": ("3",), "d": ("3",)}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a training, after what a checkpoint says if there is one; returns its record and what was printed."""

    def run(
        train: str,
        val: str,
        stored: dict[str, Any] | None = None,
        *,
        fold: Any = 0,
        given: bool = False,
        weights: TrainingSplit | None = None,
    ) -> Any:
        told: list[str] = []
        trainer = SimpleNamespace(
            fold=fold,
            local_rank=0,
            plans_manager=SimpleNamespace(dataset_name="Dataset501_X"),
            print_to_log_file=lambda note: told.append(str(note)),
        )
        monkeypatch.setattr(
            "pe_nnunet.trainers.split_record.scan_hashes", lambda _, cases: {case: HASHES[case] for case in cases}
        )
        record, network = SplitRecord(), nn.Linear(1, 1)
        record.watch(network)
        if given or stored is not None:
            network.load_state_dict(network.state_dict())
        if stored is not None:
            record.on_load_checkpoint(trainer, stored)  # type: ignore[arg-type]
        if weights is not None:
            record.start_from(weights)
        record.compare(trainer, list(train), list(val))  # type: ignore[arg-type]
        record.on_train_start(trainer)  # type: ignore[arg-type]
        checkpoint: dict[str, Any] = {}
        record.on_save_checkpoint(trainer, checkpoint)  # type: ignore[arg-type]
        return checkpoint, told

    return run


def test_a_new_training(start: Any) -> None:
    checkpoint, told = start("ab", "c")
    assert told == []
    assert checkpoint["pe_split"] == {
        "dataset": "Dataset501_X", "fold": "0", "train": {"a": ("1",), "b": ("2",)}, "val": {"c": ("3",)}, "unknown": ""
    }  # fmt: skip
    again, told = start("ab", "c", checkpoint)
    assert (again, told) == (checkpoint, [])


def test_a_split_that_overlaps_itself_is_refused_and_fold_all_may(start: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-010.*both parts.*\(1: b\)"):
        start("ab", "bc")
    checkpoint, told = start("ab", "ab", fold="all")
    assert (checkpoint["pe_split"]["fold"], told) == ("all", [])


def test_a_scan_under_two_names_is_said(start: Any) -> None:
    _, (told,) = start("ac", "d")
    assert told.startswith("PE-TRAIN-011")
    assert "d (the same scan as c)" in told


def test_going_on_with_the_same_scan_under_another_name_is_refused(start: Any) -> None:
    checkpoint, _ = start("ac", "b")
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-010.*\(1: d \(the same scan as c\)\)"):
        start("a", "d", checkpoint)


def test_other_scans_of_the_same_names_are_said(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, _ = start("a", "b")
    monkeypatch.setitem(HASHES, "a", ("9",))
    again, (told,) = start("a", "b", checkpoint)
    assert "other scans bear the names" in told
    assert again["pe_split"]["train"] == {"a": ("1", "9")}


@pytest.mark.parametrize(("how", "text"), [({"stored": {}}, "went on from"), ({"given": True}, "started from other")])
def test_what_is_not_known_stays_unknown(start: Any, how: dict[str, Any], text: str) -> None:
    checkpoint, (told,) = start("ab", "c", **how)
    assert told.startswith("PE-TRAIN-011")
    assert text in told
    again, told = start("ab", "c", checkpoint)
    assert text in again["pe_split"]["unknown"]
    assert told == []
    split = TrainingSplit.from_plain(again["pe_split"])
    assert split is not None
    assert split.trained_on({"a": ()}) == ["a"]


@pytest.mark.parametrize("content", [None, {}, [], "x", {"train": {}, "val": 3}, {"train": ["a"], "val": {}}])
def test_what_is_no_record_is_none(content: Any) -> None:
    assert TrainingSplit.from_plain(content) is None


def test_weights_whose_scans_are_known_bring_them_along(start: Any) -> None:
    weights = TrainingSplit("Dataset900_Y", "0", {"c": ("9",), "p": ("8",)}, {"q": ("7",)})
    checkpoint, told = start("ab", "c", given=True, weights=weights)
    assert told == []  # another scan c
    assert checkpoint["pe_split"]["train"] == {
        "Dataset900_Y/c": ("9",), "Dataset900_Y/p": ("8",), "a": ("1",), "b": ("2",)
    }  # fmt: skip
    assert checkpoint["pe_split"]["val"] == {"c": ("3",)}
    assert start("ab", "c", checkpoint) == (checkpoint, [])  # going on says nothing new


def test_weights_that_have_seen_what_is_validated_are_refused(start: Any) -> None:
    weights = TrainingSplit("Dataset900_Y", "0", {"p": ("3",)}, {})
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-010.*\(1: c \(the same scan as Dataset900_Y/p\)\)"):
        start("ab", "c", given=True, weights=weights)
    checkpoint, _ = start("ab", "ab", given=True, weights=weights, fold="all")
    assert "Dataset900_Y/p" in checkpoint["pe_split"]["train"]


def test_weights_of_which_nobody_knows_the_scans_say_so(start: Any) -> None:
    checkpoint, (told,) = start("ab", "c", given=True, weights=TrainingSplit("D", "0", {}, {}, "they were published"))
    assert told.startswith("PE-TRAIN-011")
    assert checkpoint["pe_split"]["unknown"] == "they were published"
