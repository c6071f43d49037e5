"""Labels and predictions are read by the dataset.json beside them; what is expected was counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.evaluation import EvaluationSettings, evaluate_folder
from pe_nnunet.evaluation.evaluation_files import summary as summary_of
from pe_nnunet.metrics.bootstrap import Resampling
from pe_nnunet.metrics.instances import LabelKind

PE = {"background": 0, "PE": 1, "ignore": 2}
ARTERY_PE = {"background": 0, "artery": [1, 2], "PE": 2, "ignore": 3}
ALONE = {"background": 0, "PE": 1}
Lines = dict[int, str]


def volume(rows: Lines) -> np.ndarray:
    """One digit a voxel along x, for each row that is named of (4, 8, 20) voxels of 1 mm, in the second slice."""
    array = np.zeros((4, 8, 20), np.uint8)
    for y, digits in rows.items():
        array[1, y, : len(digits)] = [int(digit) for digit in digits]
    return array


def save(folder: Path, case: str, array: np.ndarray, labels: dict[str, Any] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{case}.nii.gz"))
    if labels is not None:
        (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def scored(tmp_path: Path, labels: Path, dataset_json: Path | None = None, **kinds: str) -> dict[str, Any]:
    """As `evaluated`, without files."""
    settings = EvaluationSettings(
        **{f"{side}_kind": LabelKind.parse(kind) for side, kind in kinds.items()},  # type: ignore[arg-type]
        resampling=Resampling(0),
    )
    return summary_of(evaluate_folder(tmp_path / "p", labels, settings, dataset_json=dataset_json))


def evaluated(tmp_path: Path, labels: Path, *more: str, code: int = 0, predictions: str = "p") -> dict[str, Any]:
    """What `summary.json` says; nothing where nothing could be done."""
    out = tmp_path / f"out_{len(list(tmp_path.glob('out_*')))}"
    command = ["evaluate", "-i", str(tmp_path / predictions), "-g", str(labels), "-o", str(out), "--bootstrap", "0"]
    assert main([*command, "--workers", "1", *more]) == code
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text()) if code != 2 else {}
    return summary


def numbers(summary: dict[str, Any]) -> tuple[Any, ...]:
    cohort = summary["cohort"]
    return tuple(cohort[name] for name in ("emboli", "found", "findings", "false_positives", "dice"))


LABEL = {0: "1111", 2: "0000000000222222", 4: "00000000002222222222"}
# half of the embolus; two voxels beside the ignored ones, two in them; two in them
FOUND = {0: "0011", 2: "0000000011110000", 4: "0000000000001100"}
RIGHT = (1, 1, 2, 1, 0.5)  # 2 * 2 / (4 + 4)


def test_ignored_voxels_are_neither_true_nor_false(tmp_path: Path) -> None:
    labels = tmp_path / "raw" / "labelsTr"
    save(labels, "a", volume(LABEL))
    save(labels.parent, "not_a_label", volume({}), PE)
    save(tmp_path / "p", "a", volume(FOUND))
    summary = evaluated(tmp_path, labels)
    assert numbers(summary) == RIGHT
    assert summary["froc"]["cad-pe"]["0"]["fp"] == 1
    assert summary["cohort"]["volume_error_ml"] == 0
    read = summary["read_as"]["labels"]
    assert (read["kind"], read["embolus"], read["embolus_values"], read["ignored_values"]) == (
        "class:1",
        "PE",
        [1],
        [2],
    )
    for kind in ("class:1", "binary", "instances"):  # whatever is asked for, ignored stays ignored
        assert numbers(scored(tmp_path, labels, label=kind)) == RIGHT, kind
    bare = tmp_path / "bare"
    save(bare, "a", volume(LABEL))
    assert numbers(scored(tmp_path, bare))[0] == 2  # without the file nobody can know
    assert numbers(evaluated(tmp_path, bare, "--dataset-json", str(labels.parent / "dataset.json"))) == RIGHT
    assert numbers(scored(tmp_path, bare, labels.parent)) == RIGHT


def test_a_finding_that_runs_on_into_ignored_voxels_has_no_edge_there(tmp_path: Path) -> None:
    save(tmp_path / "g", "a", volume({2: "0011112222"}), PE)
    save(tmp_path / "p", "a", volume({2: "0011111111"}))
    summary = scored(tmp_path, tmp_path / "g")
    assert numbers(summary) == (1, 1, 1, 0, 1.0)
    outlines = summary["cohort"]["outlines"]
    assert (outlines["hd95_mm"], outlines["surface_dice"]) == (0, 1)


def test_candidates_in_ignored_voxels(tmp_path: Path) -> None:
    save(tmp_path / "g", "a", volume(LABEL), PE)
    (tmp_path / "p").mkdir()
    # x, y, z of an embolus, of ignored voxels and of neither, in LPS mm
    rows = ["id,x,y,z,prob", "1,1,0,1,0.6", "2,12,4,1,0.9", "3,5,5,1,0.7"]
    (tmp_path / "p" / "a.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "challenge.txt").write_text("a 1 0 1 0.6\na 12 4 1 0.9\na 5 5 1 0.7\n")
    for predictions in ("p", "challenge.txt"):
        summary = evaluated(tmp_path, tmp_path / "g", "--protocol", "cad-pe", "aanet", predictions=predictions)
        assert numbers(summary)[:4] == (1, 1, 2, 1)
        for protocol in ("cad-pe", "aanet"):
            for eps in ("0", "2"):
                found = summary["froc"][protocol][eps]
                assert (found["tp"], found["fn"], found["fp"]) == (1, 0, 1)
    with_score = (tmp_path / "out_0" / "cases.csv").read_text().splitlines()
    score = dict(zip(with_score[0].split(","), with_score[1].split(","), strict=True))["pe_score"]
    assert score == "0.7"


def test_a_scan_of_which_nothing_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "g", "a", volume({}) + 2, PE)
    save(tmp_path / "g", "b", volume({1: "0022"}), PE)
    for case in "ab":
        save(tmp_path / "p", case, volume({1: "0001"}))
    summary = evaluated(tmp_path, tmp_path / "g", code=3)
    assert [failure["code"] for failure in summary["failures"]] == ["PE-EVAL-018"]
    assert "PE-EVAL-018" in {note["code"] for note in summary["notes"]}
    assert summary["cohort"]["patients"] == summary["cohort"]["patients"] | {"false_positive": 0, "true_negative": 1}
    assert "counted as scans without emboli: b" in capsys.readouterr().out


def test_arteries_are_no_emboli(tmp_path: Path) -> None:
    """In both, with the file beside both, beside the labels alone, and beside the predictions alone."""
    label, found = volume({0: "1122211", 3: "111", 5: "3333"}), volume({0: "1112111", 5: "2211", 7: "22"})
    right = (1, 1, 2, 1, pytest.approx(2 * 1 / (3 + 3)))
    for name, beside_labels, beside_predictions in (("x", True, True), ("y", True, False)):
        folder = tmp_path / name
        save(folder / "g", "a", label, ARTERY_PE if beside_labels else None)
        save(folder / "p", "a", found, ARTERY_PE if beside_predictions else None)
        summary = scored(folder, folder / "g")
        assert numbers(summary) == right, name
        assert [note["code"] for note in summary["notes"] if note["code"] == "PE-EVAL-015"] == (
            [] if beside_predictions else ["PE-EVAL-015"]
        )
    artery = scored(tmp_path / "y", tmp_path / "y" / "g", label="class:1")  # the same class of both
    assert numbers(artery) == (3, 2, 2, 0, pytest.approx(2 * 4 / (7 + 6)))
    ids = np.where(label == 2, 7, 0).astype(np.uint8)
    save(tmp_path / "z" / "g", "a", ids)
    save(tmp_path / "z" / "p", "a", found, ARTERY_PE)
    assert numbers(scored(tmp_path / "z", tmp_path / "z" / "g"))[:4] == (1, 1, 3, 2)


def test_predictions_in_a_fold_of_a_model(tmp_path: Path) -> None:
    save(tmp_path / "g", "a", volume({0: "222"}), ARTERY_PE)
    folder = tmp_path / "model" / "fold_0" / "validation"
    save(folder, "a", volume({0: "122", 3: "11"}))
    for name, content in (("dataset.json", {"labels": ARTERY_PE}), ("plans.json", {})):
        (tmp_path / "model" / name).write_text(json.dumps(content))
    summary = evaluated(tmp_path, tmp_path / "g", predictions="model/fold_0/validation")
    assert numbers(summary) == (1, 1, 1, 0, pytest.approx(4 / 5))
    assert summary["read_as"]["predictions"]["kind"] == "class:2"


def test_ids_of_findings_are_no_classes(tmp_path: Path) -> None:
    """What prediction writes holds ids, also where labels hold classes: its table beside it says so."""
    save(tmp_path / "g", "a", volume({0: "222", 2: "0022", 4: "111"}), ARTERY_PE)
    save(tmp_path / "p", "a", volume({0: "111", 2: "0022"}))
    (tmp_path / "p" / "a_emboli.csv").write_text("id,x,y,z,prob\n1,1,0,1,0.9\n2,2,2,1,0.8\n")
    assert numbers(scored(tmp_path, tmp_path / "g")) == (2, 2, 2, 0, 1.0)
    (tmp_path / "p" / "a_emboli.csv").rename(tmp_path / "p" / "a.csv")
    assert numbers(scored(tmp_path, tmp_path / "g")) == (2, 2, 2, 0, 1.0)
    (tmp_path / "p" / "a.csv").unlink()
    assert numbers(scored(tmp_path, tmp_path / "g", prediction="instances")) == (2, 2, 2, 0, 1.0)
    save(tmp_path / "alone", "a", volume({0: "111", 2: "0011"}), ALONE)
    assert numbers(scored(tmp_path, tmp_path / "alone")) == (2, 2, 2, 0, 1.0)  # no class that an id could be


def test_a_converted_datasets_ids(tmp_path: Path) -> None:
    """Two touching emboli; a third lies where nnU-Net's label is ignored, and leaves no gap."""
    raw = tmp_path / "Dataset001_X"
    save(raw, "x", volume({}), PE)
    save(raw / "labelsTr", "a", volume({0: "1111", 3: "2222"}))
    save(raw / "pe_nnunet" / "instances", "a", volume({0: "1133", 3: "2200"}))
    save(tmp_path / "p", "a", volume({0: "1000", 3: "0022"}))
    summary = evaluated(tmp_path, raw / "pe_nnunet" / "instances", "--protocol", "aanet")
    assert numbers(summary) == (2, 1, 1, 0, pytest.approx(2 / 5))
    assert (summary["froc"]["aanet"]["0"]["tp"], summary["froc"]["aanet"]["0"]["fn"]) == (1, 1)
    assert summary["read_as"]["labels"]["kind"] == "instances"


@pytest.mark.parametrize(
    ("labels", "more", "words"),
    [
        ({"background": 0, "left": 1, "right": 2}, (), 'left, right; call it "PE"'),
        ({"background": 0, "artery": 1}, (), "which label is an embolus: artery"),
        ({"background": 0, "PE": 1, "ignore": 2}, ("--label-kind", "class:2"), "says that 2 is ignored"),
        ({"background": 0, "PE": 1}, ("--dataset-json", "nowhere.json"), "nowhere.json"),
    ],
)
def test_what_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: dict[str, Any], more: tuple[str, ...], words: str
) -> None:
    save(tmp_path / "g", "a", volume({0: "11"}), labels)
    save(tmp_path / "p", "a", volume({0: "11"}))
    evaluated(tmp_path, tmp_path / "g", *more, code=2)
    error = capsys.readouterr().err
    assert "PE-EVAL-014" in error
    assert words in error


def test_a_label_of_other_values_costs_its_own_case(tmp_path: Path) -> None:
    save(tmp_path / "g", "a", volume({0: "1122"}), ALONE)
    save(tmp_path / "g", "b", volume({0: "11"}))
    for case in "ab":
        save(tmp_path / "p", case, volume({0: "11"}))
    summary = evaluated(tmp_path, tmp_path / "g", code=3)
    assert [(failure["case_id"], failure["code"]) for failure in summary["failures"]] == [("a", "PE-EVAL-016")]
    assert numbers(summary) == (1, 1, 1, 0, 1.0)


def test_the_only_label_of_another_name_is_taken_and_said(tmp_path: Path) -> None:
    save(tmp_path / "g", "a", volume({0: "11"}), {"background": 0, "lesion": 1})
    save(tmp_path / "p", "a", volume({0: "11"}))
    summary = scored(tmp_path, tmp_path / "g")
    assert numbers(summary) == (1, 1, 1, 0, 1.0)
    assert "PE-EVAL-015" in {note["code"] for note in summary["notes"]}


def test_results_that_took_other_things_for_emboli_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "g", "a", volume({0: "11", 3: "0022"}), PE)
    save(tmp_path / "plain", "a", volume({0: "11"}))
    save(tmp_path / "p", "a", volume({0: "11"}))
    evaluated(tmp_path, tmp_path / "g")
    evaluated(tmp_path, tmp_path / "plain")
    evaluated(tmp_path, tmp_path / "g", "--prediction-kind", "class:1")
    first, second, third = (str(tmp_path / f"out_{number}") for number in range(3))
    assert main(["compare", first, second]) == 2
    assert "PE-EVAL-017: the labels were read in different ways" in capsys.readouterr().err
    other = tmp_path / "out_1" / "summary.json"
    other.write_text(json.dumps(json.loads(other.read_text()) | {"seconds": float("inf")}))  # of another program
    assert main(["compare", first, second]) == 2
    assert "PE-EVAL-017: the labels were read in different ways" in capsys.readouterr().err
    assert main(["compare", first, third, "--bootstrap", "5"]) == 0
    assert "predictions: embolus is auto in" in capsys.readouterr().out
    assert main(["compare", first, first, "--bootstrap", "5"]) == 0
    assert "PE-EVAL-017" not in capsys.readouterr().out
    (tmp_path / "out_0" / "summary.json").unlink()
    assert main(["compare", first, third, "--bootstrap", "5"]) == 0
    assert "do not say what was taken for embolus" in capsys.readouterr().out


def test_the_sensitivity_at_a_budget_names_no_score_that_finds_nothing(tmp_path: Path) -> None:
    save(tmp_path / "g", "a", volume({0: "11"}))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.csv").write_text("id,x,y,z,prob\n1,9,5,1,0.9\n")
    points = scored(tmp_path, tmp_path / "g")["cohort"]["sensitivity_at_fp"]
    assert {(point["threshold"], point["sensitivity"], point["false_positives_per_scan"]) for point in points} == {
        (None, 0.0, 0.0)
    }
