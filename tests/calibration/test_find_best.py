"""The choice of models and settings, on cross-validation results of known answer."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.cross_validation import cross_validated
from pe_nnunet.calibration.find_best import Candidate, CandidateJob, choose, score_candidates
from pe_nnunet.cli import main, predict_fused
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.instances import LabelKind, to_instances

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
    assert (args.folds, args.threshold, args.min_embolus_mm3) == (["0", "1"], 0.4, 0.0)


def test_named_models_alone_and_a_budget_of_false_findings(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*COMMAND, "-tr", "TA", "-p", "P", "-o", str(out), "--thresholds", "0.1", "0.6"]
    assert main([*command, "--min-embolus-mm3", "0", "--max-false-positives", "0.5"]) == 0
    found = json.loads((out / "find_best.json").read_text())
    assert found["best"] == {"models": [A], "threshold": 0.1, "min_volume_mm3": 0.0}  # none keeps to it: both have one
    assert main([*command, "--min-embolus-mm3", "0", "5", "--max-false-positives", "0.5"]) == 0
    found = json.loads((out / "find_best.json").read_text())
    assert found["best"] == {"models": [A], "threshold": 0.1, "min_volume_mm3": 5.0}
    assert found["cohort"]["sensitivity"] == 1


def test_a_case_is_scored_as_the_fusion_would_find_it(folders: Path) -> None:
    models = tuple(cross_validated(folders / name, ["0", "1"]) for name in (A, B))
    label = folders.parents[1] / "raw" / "Dataset501_X" / "labelsTr" / "c2.nii.gz"
    job = CandidateJob("c2", label, LabelKind("class", 2), ((models[0],), models), (0.15, 0.5), (0.0, 9.0, 10.0))
    scores = score_candidates(job)
    assert len(scores) == 2 * 2 * 3
    emboli = to_instances(truth() == 2)
    for candidate, found in scores.items():
        chosen = [model for model in models if model.name in candidate.models]
        mean = np.mean([model.probability("c2") for model in chosen], axis=0, dtype=np.float32)
        settings = FusionSettings(candidate.threshold, min_volume_mm3=candidate.min_volume_mm3)
        direct = evaluate_case(find_emboli(mean, SPACING, settings).labels, emboli, SPACING, case_id="c2")
        assert (found.found, found.findings, found.dice) == (direct.found, direct.findings, direct.dice)


def test_a_choice_is_also_scored_on_folds_that_it_was_not_made_on() -> None:
    def scan(found: bool) -> CaseScores:
        return evaluate_case(np.array([[[int(found)]]]), np.array([[[1]]]), SPACING)

    first, second = Candidate(("a",), 0.5, 0.0), Candidate(("b",), 0.5, 0.0)
    scores = {case: {first: scan(case in ("c0", "c1", "c2")), second: scan(case in ("c2", "c3"))} for case in CASES}
    best = choose(scores, CASES)
    assert (best.candidate, best.cohort.found) == (first, 3)
    assert best.held_out is not None
    assert best.held_out.found == 1  # fold 1 chooses the second for fold 0, and fold 0 the first for fold 1
    assert choose({"c0": scores["c0"]}, CASES).held_out is None


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
