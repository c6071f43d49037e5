"""Nothing that a model was trained on is scored as held out by find-best and calibrate."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.calibration import calibrate_models as module
from pe_nnunet.calibration.held_out import segmenters_of_other_splits
from pe_nnunet.cli import main
from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.dataset.validation_record import write_validation_record
from pe_nnunet.detection import Detections
from pe_nnunet.detection.raster import Raster
from pe_nnunet.detection.record import DetectorRecord

DATASET, A, B = "Dataset501_X", "TA__P__3d_fullres", "TB__P__3d_fullres"
SHAPE = (6, 12, 16)
FOLD_OF = {"a": "0", "b": "0", "c": "1", "d": "1"}
SPLITS = [{"train": ["c", "d"], "val": ["a", "b"]}, {"train": ["a", "b"], "val": ["c", "d"]}]
FINAL = "checkpoint_final.pth"


class Place:
    """nnU-Net's folders with four scans and two models of two folds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw, self.preprocessed, self.results = (
            folder / name / DATASET for name in ("raw", "preprocessed", "results")
        )

    def image(self, case: str) -> Path:
        return self.raw / "imagesTr" / f"{case}_0000.nii.gz"

    def write_image(self, case: str, seed: int) -> None:
        hu = np.random.default_rng(seed).integers(-900, 400, SHAPE).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(hu), str(self.image(case)))

    def hashes(self, cases: list[str]) -> dict[str, tuple[str, ...]]:
        return {case: (sha256(self.image(case).read_bytes()).hexdigest(),) for case in cases}

    def split(self, fold: str, **parts: list[str]) -> TrainingSplit:
        cases = SPLITS[int(fold)] | parts
        return TrainingSplit(DATASET, fold, self.hashes(cases["train"]), self.hashes(cases["val"]))

    def train(self, model: str, fold: str, split: TrainingSplit | None, trained_as: Any = None) -> None:
        """A checkpoint without weights."""
        path = self.results / model / f"fold_{fold}" / FINAL
        path.parent.mkdir(parents=True, exist_ok=True)
        init = {"configuration": "3d_fullres"} | ({} if trained_as is None else {"fold": trained_as})
        content: dict[str, Any] = {"network_weights": {}, "trainer_name": "T", "init_args": init}
        torch.save(content | ({} if split is None else {"pe_split": split.to_plain()}), path)

    def validate(self, model: str, fold: str, cases: list[str], *, record: bool = True) -> None:
        """The embolus at 0.9 and a false finding of one voxel, as probabilities and as a mask."""
        folder = self.results / model / f"fold_{fold}" / "validation"
        folder.mkdir(exist_ok=True)
        for case in cases:
            values = np.zeros((2, *SHAPE), np.float32)
            values[1, 2, 2:5, 2:5] = 0.9
            values[1, 4, 9, 9] = 0.9
            np.savez_compressed(folder / f"{case}.npz", probabilities=values)
            sitk.WriteImage(sitk.GetImageFromArray((values[1] > 0.5).astype(np.uint8)), str(folder / f"{case}.nii.gz"))
        if record:
            write_validation_record(folder, folder.parent / FINAL, cases)

    def without_records(self, model: str, trained_as: Any = None) -> None:
        """As stock nnU-Net leaves a model."""
        for fold in ("0", "1"):
            self.train(model, fold, None, int(fold) if trained_as is None else trained_as)
            self.validate(model, fold, SPLITS[int(fold)]["val"])
            (self.results / model / f"fold_{fold}" / "validation" / "pe_nnunet_validation.json").unlink()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path)
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
        (tmp_path / name / DATASET).mkdir(parents=True)
    (place.preprocessed / "splits_final.json").write_text(json.dumps(SPLITS))
    for part in ("imagesTr", "labelsTr"):
        (place.raw / part).mkdir()
    truth = np.zeros(SHAPE, np.uint8)
    truth[2, 2:5, 2:5] = 1
    for seed, case in enumerate(FOLD_OF):
        place.write_image(case, seed)
        sitk.WriteImage(sitk.GetImageFromArray(truth), str(place.raw / "labelsTr" / f"{case}.nii.gz"))
    for model in (A, B):
        for fold in ("0", "1"):
            place.train(model, fold, place.split(fold))
            place.validate(model, fold, SPLITS[int(fold)]["val"])
        (place.results / model / "plans.json").write_text("{}")
        (place.results / model / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "PE": 1}}))
    return place


FIND = [
    "find-best",
    "-d",
    "501",
    "-f",
    "0",
    "1",
    "--workers",
    "1",
    "--thresholds",
    "0.5",
    "--min-embolus-mm3",
    "0",
    "5",
]
CALIBRATE = ["calibrate", "-d", "501", "-tr", "TA", "TB", "-p", "P", "--from", "masks", "--min-embolus-mm3", "0", "5"]
COMMANDS = {"find-best": FIND, "calibrate": CALIBRATE}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_was_held_out_is_scored_without_a_word(
    place: Place, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(COMMANDS[command]) == 0
    told = capsys.readouterr()
    assert "PE-" not in told.out + told.err
    assert (place.preprocessed / "pe_nnunet_scan_hashes.json").is_file()


def split_changed(place: Place) -> None:
    """Both models were trained before a and c changed places."""
    before = [{"train": ["a", "d"], "val": ["c", "b"]}, {"train": ["c", "b"], "val": ["a", "d"]}]
    for model in (A, B):
        for fold, cases in enumerate(before):
            place.train(model, str(fold), place.split(str(fold), **cases))
            place.validate(model, str(fold), SPLITS[fold]["val"])


def one_member_of_another_split(place: Place) -> None:
    place.train(B, "0", place.split("0", train=["a", "c", "d"], val=["b"]))
    place.validate(B, "0", ["a", "b"])


def renamed(place: Place) -> None:
    """What was called c at training, where fold 0 learned from it, is called b now."""
    shutil.copyfile(place.image("c"), place.image("b"))


def compressed_again(place: Place) -> None:
    """What was called c at training is called b now, in other bytes of the same content."""
    content = gzip.decompress(place.image("c").read_bytes())
    split = place.split("0")
    known = {c: (*hashes, sha256(gzip.decompress(place.image(c).read_bytes())).hexdigest())
             for c, hashes in split.train.items()}  # fmt: skip
    place.train(A, "0", TrainingSplit(DATASET, "0", known, split.val))
    place.validate(A, "0", ["a", "b"])
    place.image("b").write_bytes(gzip.compress(content, 1))
    assert place.image("b").read_bytes() != place.image("c").read_bytes()


def another_dataset(place: Place) -> None:
    for seed, case in enumerate(FOLD_OF):
        place.write_image(case, 10 + seed)


def renamed_fold_all(place: Place) -> None:
    place.train(A, "0", TrainingSplit(DATASET, "all", place.hashes(list("abcd")), place.hashes(list("abcd"))))
    place.validate(A, "0", ["a", "b"])


def converted_again_under_other_names(place: Place) -> None:
    """Bytes of the images differ, as of another margin; the sources of a and c have changed places."""

    def record(sources: str) -> None:
        (place.raw / "pe_nnunet").mkdir(exist_ok=True)
        cases = {case: {"sha256": {"image": source}} for case, source in zip("abcd", sources, strict=True)}
        (place.raw / "pe_nnunet" / "cases.json").write_text(json.dumps({"cases": cases}))

    record("1234")
    sources = {case: (source,) for case, source in zip("abcd", "1234", strict=True)}
    split = TrainingSplit(DATASET, "0", {c: sources[c] for c in "cd"}, {c: sources[c] for c in "ab"})
    place.train(A, "0", split)
    place.validate(A, "0", ["a", "b"])
    another_dataset(place)
    record("3214")


TRAINED_ON: dict[str, tuple[Callable[[Place], None], str]] = {
    "split changed": (split_changed, rf"fold 0 of {A} was trained on .*\(1: a\)"),
    "a member of another split": (one_member_of_another_split, rf"fold 0 of {B} was trained on .*\(1: a\)"),
    "renamed": (renamed, rf"fold 0 of {A} was trained on .*\(1: b \(the same scan as c\)\)"),
    "compressed again": (compressed_again, rf"fold 0 of {A} was trained on .*\(1: b \(the same scan as c\)\)"),
    "other dataset": (another_dataset, rf"other scans bear the names .* fold 0 of {A} held out \(2: a, b\)"),
    "fold all as fold 0": (renamed_fold_all, rf"fold 0 of {A} was trained on .*\(2: a, b\)"),
    "converted again": (converted_again_under_other_names, r"\(1: a \(the same scan as c\)\)"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", TRAINED_ON)
def test_what_was_trained_on_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], what: str, command: str
) -> None:
    change, text = TRAINED_ON[what]
    change(place)
    assert main(COMMANDS[command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("PE-EVAL-012: ")
    assert re.search(text, line), line
    assert not list(place.results.glob("**/fusion.json"))
    assert not (place.results / "find_best.json").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_fold_all_holds_nothing_out(place: Place, capsys: pytest.CaptureFixture[str], command: str) -> None:
    for model in (A, B):
        shutil.copytree(place.results / model / "fold_0", place.results / model / "fold_all")
    assert main([*COMMANDS[command], "-f", "all"]) == 2
    assert "PE-EVAL-012: fold all was trained on every scan" in capsys.readouterr().err


def trained_again(place: Place) -> None:
    path = place.results / A / "fold_1" / FINAL
    torch.save(torch.load(path, weights_only=True) | {"current_epoch": 3}, path)


def of_the_best_checkpoint(place: Place) -> None:
    best = place.results / A / "fold_1" / "checkpoint_best.pth"
    shutil.copyfile(place.results / A / "fold_1" / FINAL, best)
    write_validation_record(best.parent / "validation", best, ["c", "d"])


def never_kept(place: Place) -> None:
    write_validation_record(place.results / A / "fold_1" / "validation", None, ["c", "d"])


def by_an_earlier_run(place: Place) -> None:
    """The record names one case; the other file is older."""
    folder = place.results / A / "fold_1"
    write_validation_record(folder / "validation", folder / FINAL, ["c"])


STALE: dict[str, tuple[Callable[[Place], None], str, tuple[str, ...]]] = {
    "trained again": (trained_again, "by a checkpoint_final.pth that is no longer there (2: c, d)", tuple(COMMANDS)),
    "best": (of_the_best_checkpoint, "by checkpoint_best.pth, not by checkpoint_final.pth (2: c, d)", tuple(COMMANDS)),
    "not kept": (never_kept, "by weights that were not kept, not by", tuple(COMMANDS)),
    "earlier": (by_an_earlier_run, "were not made by its checkpoint_final.pth (1: d)", tuple(COMMANDS)),
}


@pytest.mark.parametrize("what", STALE)
def test_predictions_of_other_weights_are_refused(place: Place, capsys: pytest.CaptureFixture[str], what: str) -> None:
    change, text, commands = STALE[what]
    change(place)
    for command, arguments in COMMANDS.items():
        assert main(arguments) == (2 if command in commands else 0)
        error = capsys.readouterr().err
        if command == "find-best" and what == "best":
            assert (
                "several checkpoints: checkpoint_best.pth of TA__P__3d_fullres, fold 1; checkpoint_final.pth" in error
            )
            continue
        assert (text in error and "PE-EVAL-011" in error) == (command in commands), error


def test_the_command_names_the_checkpoint_that_was_validated(place: Place) -> None:
    for model in (A, B):
        for fold, cases in enumerate(("ab", "cd")):
            best = place.results / model / f"fold_{fold}" / "checkpoint_best.pth"
            shutil.copyfile(best.with_name(FINAL), best)
            write_validation_record(best.parent / "validation", best, cases)
    assert main(FIND) == 0
    found = json.loads((place.results / "find_best.json").read_text())
    assert found["checkpoint"] == "checkpoint_best.pth"
    assert "-f 0 1 -chk checkpoint_best.pth --threshold" in found["command"]


@pytest.mark.parametrize("command", COMMANDS)
def test_stock_checkpoints_are_taken_with_a_note(
    place: Place, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    place.without_records(A)
    assert main(COMMANDS[command]) == 0
    told = capsys.readouterr().out
    assert told.count("PE-EVAL-013") == 1
    assert f"PE-EVAL-013 warning: fold 0 1 of {A}: the checkpoint does not name its training scans; nobody" in told
    splits = place.preprocessed / "splits_final.json"
    os.utime(splits, (splits.stat().st_mtime + 60,) * 2)
    assert main(COMMANDS[command]) == 0
    assert "training scans, and splits_final.json is newer than it; nobody" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], "which has no folds"),
        ([{"train": ["c", "d"], "val": "ab"}, SPLITS[1]], "fold 0, val: expected a list"),
        ([{"train": ["c", "d"], "val": ["a", "b", "a"]}, SPLITS[1]], "fold 0, val: a more than once"),
        ([{"train": ["c", "d"], "val": []}, SPLITS[1]], "fold 0 has no validation cases"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_splits_are_refused_where_they_are_needed(
    place: Place, capsys: pytest.CaptureFixture[str], command: str, content: list[dict[str, list[str]]], text: str
) -> None:
    place.without_records(A)
    (place.preprocessed / "splits_final.json").write_text(json.dumps(content))
    assert main(COMMANDS[command]) == 2
    told = capsys.readouterr().err
    assert "PE-FUS-006" in told
    assert text in told


def test_a_case_that_two_folds_validate_is_not_calibrated_on_twice(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = [SPLITS[0], {"train": ["b"], "val": ["c", "d", "a"]}]
    (place.preprocessed / "splits_final.json").write_text(json.dumps(folds))
    assert main(COMMANDS["calibrate"]) == 2
    assert "PE-FUS-006: a is in the validation of folds 0 and 1" in capsys.readouterr().err


def splits_of_today(place: Place) -> None:
    (place.preprocessed / "splits_final.json").write_text(json.dumps(SPLITS[::-1]))


def summary_of_other_cases(place: Place) -> None:
    files = [{"prediction_file": f"/x/{case}.nii.gz"} for case in "bc"]
    summary = place.results / A / "fold_0" / "validation" / "summary.json"
    summary.write_text(json.dumps({"metric_per_case": files}))


def of_another_fold(place: Place) -> None:
    place.without_records(A, "all")


def older_predictions(place: Place) -> None:
    for path in (place.results / A / "fold_0" / "validation").glob("a.*"):
        os.utime(path, (0, 0))


@pytest.mark.parametrize(
    ("change", "commands", "text"),
    [
        (splits_of_today, ("find-best",), rf"PE-EVAL-012: scans that fold 0 of {A} was trained on .*\(2: a, b\)"),
        (summary_of_other_cases, tuple(COMMANDS), r"PE-EVAL-012: .*\(1: a\)"),
        (of_another_fold, tuple(COMMANDS), r"PE-EVAL-012: .*fold_0.* was trained as fold all"),
        (older_predictions, tuple(COMMANDS), r"PE-EVAL-011: .* are older than its checkpoint \(1: a\)"),
    ],
)
def test_what_nnunet_leaves_is_believed_as_far_as_it_goes(
    place: Place, capsys: pytest.CaptureFixture[str], change: Any, commands: tuple[str, ...], text: str
) -> None:
    place.without_records(A)
    change(place)
    for command in commands:
        assert main(COMMANDS[command]) == 2
        assert re.search(text, capsys.readouterr().err)


@pytest.mark.parametrize("by", ["record", "splits"])
def test_a_validation_that_lacks_a_case_is_no_score_of_its_fold(
    place: Place, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    """Fold 0 holds out a and b: its checkpoint says so, or else the splits."""
    for model in (A, B):
        if by == "splits":
            place.without_records(model)
        (place.results / model / "fold_0" / "validation" / "b.npz").unlink()
    if by == "record":
        (place.preprocessed / "splits_final.json").unlink()
    assert main(FIND) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"PE-EVAL-011: the validation of fold 0 of {A} lacks probabilities (1: b)")
    assert f"nnUNetv2_train {DATASET} 3d_fullres 0 -tr TA -p P --val --npz" in line
    assert not (place.results / "find_best.json").exists()


def test_without_images_names_are_compared_and_this_is_said(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(place.raw / "imagesTr")
    assert main(FIND) == 0
    assert "compared by name alone" in capsys.readouterr().out
    split_changed_by_name = TrainingSplit(DATASET, "0", {"a": ()}, {"b": ()})
    place.train(A, "0", split_changed_by_name)
    place.validate(A, "0", ["a", "b"])
    assert main(FIND) == 2
    assert "(1: a)" in capsys.readouterr().err


def write_detector(place: Place, folder: Path, fold: str, split: TrainingSplit | None) -> None:
    target = folder / f"fold_{fold}"
    target.mkdir(parents=True)
    (target / "detector.onnx").write_bytes(fold.encode())
    facts = {"cases": SPLITS[int(fold)]} if split is None else {"split": split.to_plain()}
    hashes = {"detector.onnx": sha256(fold.encode()).hexdigest()}
    DetectorRecord("yolo11n", Raster(1.0, 64), DATASET, fold, hashes, facts).write(target)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"train": ["c", "d"]}, ""),
        ({"train": ["b", "c", "d"], "val": ["a"]}, "fold 0 of the detector was trained on"),
        (None, ""),  # an older one, which names cases alone
    ],
)
def test_the_detector_must_not_have_seen_what_the_segmenters_hold_out(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parts: Any, text: str
) -> None:
    monkeypatch.setattr("pe_nnunet.detection.detector._session", lambda *_: None)
    monkeypatch.setattr(module, "detect", lambda *_: Detections(None, ()))
    folder = place.results / "PEDetector__yolo11n__64px"
    write_detector(place, folder, "0", None if parts is None else place.split("0", **parts))
    write_detector(place, folder, "1", place.split("1"))
    code = main([*CALIBRATE, "--detector", str(folder)])
    told = capsys.readouterr()
    assert code == (2 if text else 0)
    assert text in told.err
    assert ("compared by name alone" in told.out) == (parts is None)
    if not text:  # of one fold alone, which has seen what the other holds out
        assert main([*CALIBRATE, "--detector", str(folder / "fold_0")]) == 2
        assert "fold_0 is one fold, and fold 1 was asked for" in capsys.readouterr().err
        chosen_on = json.loads((place.results / A / "fusion.json").read_text())["chosen_on"]
        assert "split" not in chosen_on["detector"][0]["facts"]


def test_a_detector_of_another_split_is_said_before_it_is_trained(place: Place) -> None:
    for fold, split in enumerate(SPLITS):
        assert segmenters_of_other_splits(place.results, str(fold), split) == []
    for split in ({"train": ["a", "c", "d"], "val": ["b"]}, {"train": ["d"], "val": ["a", "b", "c"]}):
        notes = segmenters_of_other_splits(place.results, "0", split)
        case = "a" if "a" in split["train"] else "c"
        assert [note.code for note in notes] == ["PE-TRAIN-011"] * 2
        assert f"fold 0 of {A} was trained on another split (1: {case}); it cannot" in notes[0].message
    assert segmenters_of_other_splits(place.results, "all", {"train": list(FOLD_OF), "val": list(FOLD_OF)}) == []
