"""The choice of models and settings, on cross-validation results of known answer."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import FOUND
from pe_nnunet.calibration.find_best import candidates_of, choose, count_case, score_case
from pe_nnunet.calibration.find_best_results import candidate_numbers
from pe_nnunet.calibration.out_of_fold import stored_probability
from pe_nnunet.calibration.validation_cases import cases_with_probabilities
from pe_nnunet.cli import main, predict_fused
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.metrics.case_scores import evaluate_case
from pe_nnunet.metrics.instances import to_instances

A, B = "TA__P__3d_fullres", "TB__P__3d_fullres"
SHAPE, SPACING = (4, 12, 16), (1.0, 1.0, 1.0)
REGIONS = {"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]}
CASES = {"c0": "0", "c1": "0", "c2": "1", "c3": "1"}


def truth() -> NDArray[np.uint8]:
    label = np.zeros(SHAPE, np.uint8)
    label[:, :, 6] = 1  # an artery
    label[1, 2:5, 2:5] = 2
    label[2, 8:11, 10:13] = 2
    return label


def probability(first: float, second: float, false: float) -> NDArray[np.float32]:
    """Of both emboli, nine voxels each, and of a false finding of four."""
    values = np.zeros((2, *SHAPE), np.float32)
    values[0] = 0.9  # the channel of the artery region, which must not be taken
    values[1, 1, 2:5, 2:5] = first
    values[1, 2, 8:11, 10:13] = second
    values[1, 3, 0:2, 13:15] = false
    return values


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Model A sees the first embolus, model B the second; the mean of both sees both, and no false finding."""
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
        (tmp_path / name / "Dataset501_X" / "labelsTr").mkdir(parents=True)
    results = tmp_path / "results" / "Dataset501_X"
    for model, values in ((A, (0.9, 0.2, 0.7)), (B, (0.2, 0.9, 0.0))):
        for case, fold in CASES.items():
            folder = results / model / f"fold_{fold}" / "validation"
            folder.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(folder / f"{case}.npz", probabilities=probability(*values))
        (results / model / "dataset.json").write_text(json.dumps(REGIONS))
    for case in CASES:
        image = sitk.GetImageFromArray(truth())
        sitk.WriteImage(image, str(tmp_path / "raw" / "Dataset501_X" / "labelsTr" / f"{case}.nii.gz"))
    return results


COMMAND = ["find-best", "-d", "501", "-f", "0", "1", "--workers", "1"]


def test_the_ensemble_that_finds_all_is_chosen(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--thresholds", "0.4", "0.6", "--min-embolus-mm3", "0", "5"]) == 0
    found = json.loads((folders / "find_best.json").read_text())
    assert found["best"] == {"models": [A, B], "threshold": 0.4, "min_volume_mm3": 0.0}
    assert (found["cohort"]["sensitivity"], found["cohort"]["false_positives"]) == (1, 0)
    assert found["held_out"]["f1"] == 1
    assert len(found["candidates"]) == 3 * 2 * 2
    alone = {(*c["models"], c["threshold"], c["min_volume_mm3"]): c for c in found["candidates"]}
    assert (alone[A, 0.6, 0.0]["sensitivity"], alone[A, 0.6, 0.0]["false_positives_per_scan"]) == (0.5, 1)
    assert (alone[A, 0.6, 5.0]["sensitivity"], alone[A, 0.6, 5.0]["false_positives_per_scan"]) == (0.5, 0)
    printed = capsys.readouterr().out
    assert found["command"] in printed
    assert (folders / "find_best.txt").read_text() == found["command"] + "\n"

    words = shlex.split(found["command"])
    assert words[0] == "pe-nnunet-predict-fused"
    parser = argparse.ArgumentParser()
    predict_fused.configure(parser)
    args = parser.parse_args(words[1:])
    assert (args.dataset, args.trainers, args.plans, args.configurations) == (
        "Dataset501_X", ["TA", "TB"], ["P", "P"], ["3d_fullres", "3d_fullres"]
    )  # fmt: skip
    assert (args.folds, args.threshold, args.min_volume_mm3) == (["0", "1"], 0.4, 0.0)


def test_the_command_names_a_checkpoint_where_no_fold_has_the_final_one(folders: Path, capsys) -> None:
    def older_than_its_predictions(path: Path) -> None:
        path.touch()
        os.utime(path, (0, 0))

    for model, fold in ((A, "0"), (A, "1"), (B, "0"), (B, "1")):
        older_than_its_predictions(folders / model / f"fold_{fold}" / "checkpoint_best.pth")
    command = [*COMMAND, "--thresholds", "0.4", "--min-embolus-mm3", "0"]
    assert main(command) == 0
    assert " -f 0 1 -chk checkpoint_best.pth --threshold 0.4 " in (folders / "find_best.txt").read_text()
    older_than_its_predictions(folders / A / "fold_0" / "checkpoint_final.pth")
    assert main(command) == 2
    assert "PE-EVAL-011: validation predictions of several checkpoints" in capsys.readouterr().err


def test_named_models_alone_and_a_budget_of_false_findings(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*COMMAND, "-tr", "TA", "-p", "P", "-o", str(out), "--thresholds", "0.1", "0.6"]
    assert main([*command, "--min-embolus-mm3", "0", "--target-fp", "0.5"]) == 0
    found = json.loads((out / "find_best.json").read_text())
    assert found["best"] == {"models": [A], "threshold": 0.1, "min_volume_mm3": 0.0}  # none keeps to it: both have one
    assert main([*command, "--min-embolus-mm3", "0", "5", "--target-fp", "0.5"]) == 0
    found = json.loads((out / "find_best.json").read_text())
    assert found["best"] == {"models": [A], "threshold": 0.1, "min_volume_mm3": 5.0}
    assert found["cohort"]["sensitivity"] == 1


def test_a_case_is_scored_as_the_fusion_would_find_it(folders: Path) -> None:
    case = next(c for c in cases_with_probabilities([folders / A, folders / B], ["0", "1"]) if c.case_id == "c2")
    candidates = candidates_of([A, B], 2, (0.15, 0.5), (0.0, 9.0, 10.0))
    assert len(candidates) == 3 * 2 * 3
    emboli = to_instances(truth() == 2)
    counts, scores = count_case(case, candidates), score_case((case, candidates))
    for (models, settings), counted, found in zip(candidates, counts, scores, strict=True):
        mean = np.mean([stored_probability(case, [name], case.truth()) for name in models], axis=0, dtype=np.float32)
        direct = evaluate_case(find_emboli(mean, SPACING, settings).labels, emboli, SPACING, case_id="c2")
        assert (found.found, found.findings, found.dice) == (direct.found, direct.findings, direct.dice)
        assert found.emboli == direct.emboli
        numbers = candidate_numbers(counted[None])
        assert {name: direct[name] for name in ("sensitivity", "precision", "f1", "dice")} == {
            name: value for name, value in numbers.items() if name != "false_positives_per_scan"
        }
        assert numbers["false_positives_per_scan"] == direct.false_positives


def test_pe_may_be_a_region_of_several_classes(folders: Path) -> None:
    labels = {"background": 0, "artery": [1, 2, 3], "PE": [2, 3]}
    (folders / A / "dataset.json").write_text(json.dumps({"labels": labels, "regions_class_order": [1, 2]}))
    path = folders.parents[1] / "raw" / "Dataset501_X" / "labelsTr" / "c0.nii.gz"
    label = truth()
    label[1, 2:5, 4] = 3  # beside class 2, and one embolus with it
    sitk.WriteImage(sitk.GetImageFromArray(label), str(path))
    case, *_ = cases_with_probabilities([folders / A], ["0", "1"])
    assert (case.case_id, case.kind.embolus_values) == ("c0", (2, 3))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.truth()), to_instances(label >= 2))


def test_a_choice_is_also_scored_on_folds_that_it_was_not_made_on() -> None:
    def scan(found: bool) -> list[int]:
        return [int(found), 1, int(found), int(found), int(found), int(found), 1]

    candidates = [(("a",), FusionSettings(0.5)), (("b",), FusionSettings(0.5))]
    found_in = ("c0", "c1", "c2"), ("c2", "c3")
    counts = np.array([[scan(case in found) for case in CASES] for found in found_in])
    best, held_out = choose(candidates, counts, list(CASES.values()))
    assert (best, counts[best, :, FOUND].sum()) == (0, 3)
    assert held_out is not None
    assert counts[held_out, range(4), FOUND].sum() == 1  # fold 1 chooses the second for fold 0, fold 0 the first for 1
    assert choose(candidates, counts[:, :1], ["0"]) == (0, None)


@pytest.mark.parametrize(
    ("false", "models", "expected"),
    [
        ([3, 2, 1], [1, 1, 2], 1),  # the one with fewer models, then fewer false findings
        ([1, 1, 1], [2, 1, 1], 1),  # then the first
    ],
)
def test_of_equals_the_smaller_ensemble_wins(false: list[int], models: list[int], expected: int) -> None:
    counts = np.array([[[1, 1, 1, 1 + number, 1, 1, 1]] for number in false])
    candidates = [(tuple("ab"[:size]), FusionSettings()) for size in models]
    assert choose(candidates, counts, ["0"], max_fp_per_scan=5)[0] == expected


def test_where_none_keeps_to_the_false_findings_that_with_the_fewest_is_taken() -> None:
    counts = np.array([[[found, 2, found, found + false, 1, 1, 1]] for found, false in ((2, 9), (0, 4), (1, 4))])
    candidates = [(("a",), FusionSettings())] * 3
    assert choose(candidates, counts, ["0"], max_fp_per_scan=3)[0] == 2


def test_what_is_missing_is_named(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND[:3], "-f", "0", "1", "2"]) == 2
    assert "nnUNetv2_train Dataset501_X 3d_fullres 2 -tr TA -p P --val --npz" in capsys.readouterr().err
    assert main([*COMMAND, "--thresholds", "1.5"]) == 2
    assert "PE-FUS-001" in capsys.readouterr().err
    (folders / A / "fold_0" / "validation" / "c0.npz").write_bytes(b"broken")
    assert main(COMMAND) == 3
    assert "PE-EVAL-011" in capsys.readouterr().err
    assert json.loads((folders / "find_best.json").read_text())["failures"][0]["case_id"] == "c0"
    (folders / A / "fold_0" / "validation" / "c0.npz").unlink()
    assert main(COMMAND) == 2
    assert "not validated on the same folds: c0" in capsys.readouterr().err
    for path in folders.glob("*/fold_*/validation/*.npz"):
        path.unlink()
    assert main(COMMAND) == 2
    assert "has validation probabilities" in capsys.readouterr().err


def rewrite(folders: Path, label: NDArray[np.uint8], values: NDArray[np.float32] | None, cases: str = "0123") -> None:
    """Other labels, and other probabilities of model A, for these cases."""
    for number in cases:
        path = folders.parents[1] / "raw" / "Dataset501_X" / "labelsTr" / f"c{number}.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(label), str(path))
        if values is not None:
            (stored,) = (folders / A).glob(f"fold_*/validation/c{number}.npz")
            np.savez_compressed(stored, probabilities=values)


ALONE = [*COMMAND, "-tr", "TA", "-p", "P", "--thresholds", "0.5", "--min-embolus-mm3", "0"]
NAN = np.full((2, *SHAPE), np.nan, np.float32)


@pytest.mark.parametrize(
    ("label", "values", "more", "words"),
    [
        (truth() * 0, None, (), "no embolus in the 4 scans"),
        (np.minimum(truth(), 1), None, (), "no embolus in the 4 scans"),  # arteries alone
        (truth(), probability(0, 0, 0), (), "none of the 1 settings finds one of the 8 emboli in the 4 scans"),
        (truth(), probability(0, 0, 0.9), (), "none of the 1 settings finds one of the 8 emboli"),
        (truth(), NAN, (), "none of the 4 cases could be read"),
        # 0.6 finds an embolus and something false, 0.95 nothing
        (
            truth(),
            probability(0.8, 0, 0.9),
            ("--target-fp", "0.5", "--thresholds", "0.6", "0.95"),
            "no setting that finds",
        ),
    ],
)
def test_where_nothing_is_found_nothing_is_chosen(
    folders: Path, capsys: pytest.CaptureFixture[str], label: Any, values: Any, more: tuple[str, ...], words: str
) -> None:
    rewrite(folders, label, values)
    assert main([*ALONE, *more]) == 2
    error = capsys.readouterr().err
    assert f"PE-FUS-010: nothing can be chosen: {words}" in error
    assert not (folders / "find_best.json").exists()
    (folders / "find_best.json").write_text("older")
    assert main([*ALONE, *more]) == 2
    assert f"{folders / 'find_best.json'}, chosen earlier, stays as it is" in capsys.readouterr().err
    assert (folders / "find_best.json").read_text() == "older"
    assert not (folders / "find_best.txt").exists()


@pytest.mark.parametrize("number", ["-1", "nan"])
def test_a_number_of_false_findings_that_is_none(capsys: pytest.CaptureFixture[str], number: str) -> None:
    for command in ("find-best", "calibrate"):
        assert main([command, "-d", "501", "--target-fp", number]) == 2
        assert f"PE-MODEL-007: --target-fp is {float(number)}, expected 0 or more" in capsys.readouterr().err


def test_a_single_scan_with_an_embolus_is_enough_but_tells_nothing_of_others(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(folders, truth() * 0, None, "123")
    assert main(ALONE) == 0
    assert "PE-FUS-011" in capsys.readouterr().out
    found = json.loads((folders / "find_best.json").read_text())
    assert (found["cohort"]["emboli"], found["cohort"]["found"], found["held_out"]) == (2, 1, None)
    assert [note["code"] for note in found["notes"]] == ["PE-FUS-011"]
    for path in folders.glob("*/fold_1/validation/*"):
        path.unlink()
    for path in folders.glob("*/fold_0/validation/c1.npz"):
        path.unlink()
    assert main([*ALONE, "-f", "0"]) == 0
    found = json.loads((folders / "find_best.json").read_text())
    assert (found["cohort"]["scans"], found["cohort"]["found"], found["notes"]) == (1, 1, [])


def test_ignored_voxels_count_neither_way(folders: Path) -> None:
    """Ignored: the place of the false finding, of four voxels, and the second embolus, which nobody is sure of."""
    label = truth()
    label[2, 8:11, 10:13] = 3
    label[3, 0:2, 13:15] = 3
    rewrite(folders, label, probability(0.9, 0.9, 0.9))
    for model in (A, B):
        labels = REGIONS["labels"] | {"ignore": 3}  # type: ignore[operator]
        (folders / model / "dataset.json").write_text(json.dumps(REGIONS | {"labels": labels}))
    assert main(ALONE) == 0
    found = json.loads((folders / "find_best.json").read_text())
    cohort = {name: found["cohort"][name] for name in ("emboli", "found", "findings", "false_positives", "dice")}
    assert cohort == {"emboli": 4, "found": 4, "findings": 4, "false_positives": 0, "dice": 1}
    assert found["candidates"][0]["false_positives_per_scan"] == 0
    assert found["labels"] == {"kinds": ["class:2"], "ignored_values": [3]}
    case, *_ = cases_with_probabilities([folders / A], ["0", "1"])
    (scores,) = score_case((case, candidates_of([A], 1, (0.5,), (0.0,))))
    assert scores["pe_score"] == pytest.approx(0.9)
    # the dataset.json beside the labels comes first
    raw = folders.parents[1] / "raw" / "Dataset501_X"
    (raw / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "artery": 1, "PE": [2, 3]}}))
    assert main(ALONE) == 0
    assert json.loads((folders / "find_best.json").read_text())["cohort"]["emboli"] == 12
    elsewhere = folders / "elsewhere.json"
    elsewhere.write_text(json.dumps({"labels": {"background": 0, "artery": 1, "clot": 2, "ignore": 3}}))
    assert main([*ALONE, "--dataset-json", str(elsewhere)]) == 0
    assert json.loads((folders / "find_best.json").read_text())["cohort"]["emboli"] == 4
    label[0, 0, 0] = 4
    rewrite(folders, label, None, "0")
    assert main(ALONE) == 3
    failures = json.loads((folders / "find_best.json").read_text())["failures"]
    assert [(failure["case_id"], failure["code"]) for failure in failures] == [("c0", "PE-EVAL-016")]


def test_ids_of_emboli_with_a_label_that_ignores(folders: Path) -> None:
    raw = folders.parents[1] / "raw" / "Dataset501_X"
    label = truth()
    ids = (label == 2).astype(np.uint8)
    label[1, 2:5, 2:5] = 3
    rewrite(folders, label, probability(0.9, 0.9, 0.0))
    (raw / "pe_nnunet" / "instances").mkdir(parents=True)
    for case in CASES:
        sitk.WriteImage(sitk.GetImageFromArray(ids), str(raw / "pe_nnunet" / "instances" / f"{case}.nii.gz"))
    (raw / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "artery": 1, "PE": 2, "ignore": 3}}))
    assert main(ALONE) == 0
    cohort = json.loads((folders / "find_best.json").read_text())["cohort"]
    assert (cohort["emboli"], cohort["found"], cohort["findings"], cohort["dice"]) == (4, 4, 4, 1)
