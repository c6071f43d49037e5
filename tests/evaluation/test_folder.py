from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.evaluation import EvaluationSettings, evaluate_folder, table, write_evaluation
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.metrics.instances import LabelKind
from pe_nnunet.outputs import CaseResult, write_case
from pe_nnunet.outputs.writers import DEFAULT

SHAPE = (6, 10, 12)
Write = Callable[..., None]


def image_of(array: np.ndarray, origin: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.5, 2.0))
    image.SetOrigin(origin)
    return image


def save(array: np.ndarray, path: Path, **geometry: tuple[float, float, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image_of(array, **geometry), str(path))


def truth() -> np.ndarray:
    ids = np.zeros(SHAPE, np.uint8)
    ids[1:3, 1:4, 1:4] = 1
    ids[4, 6:9, 6:9] = 2
    return ids


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """As the prediction writes them: case a finds one of two and something false, case b is clean."""
    folder = tmp_path / "out"
    probability = np.zeros(SHAPE, np.float32)
    probability[1:3, 1:4, 1:4] = 0.9
    probability[0, 9, 11] = 0.7
    probability[4, 7, 7] = 0.3  # under the threshold, but a candidate
    settings = FusionSettings(min_volume_mm3=0)
    for case, values in (("a", probability), ("b", np.zeros(SHAPE, np.float32))):
        image = image_of(np.zeros(SHAPE, np.int16))
        write_case(
            CaseResult(case, image, find_emboli(values, (2.0, 0.5, 0.5), settings)), folder, DEFAULT - {"picture"}
        )
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    save(truth(), folder / "a.nii.gz")
    save(np.zeros(SHAPE, np.uint8), folder / "b.nrrd")
    return folder


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIOWithReorient"])
def test_probabilities_of_nnunet_score_its_masks(labels: Path, tmp_path: Path, reader: str) -> None:
    """As `nnUNetv2_predict --save_probabilities` leaves them, of regions: channel 1 is PE."""
    folder = tmp_path / "stock"
    probability = np.zeros((2, *SHAPE), np.float32)
    probability[0] = 0.95
    probability[1, 1:3, 1:4, 1:4] = 0.8
    probability[1, 0, 9, 11] = 0.6
    for case in "ab":
        save((probability[1] > 0.5).astype(np.uint8) * (2 if case == "a" else 0), folder / f"{case}.nii.gz")
        maps = probability if case == "a" else np.zeros_like(probability)
        turned = maps[:, :, ::-1, ::-1] if reader.endswith("Reorient") else maps  # LPS to RAS
        np.savez_compressed(folder / f"{case}.npz", probabilities=turned)
    described = {"labels": {"background": 0, "artery": [1, 2], "PE": [2]}, "regions_class_order": [1, 2]}
    settings = EvaluationSettings(prediction_kind=LabelKind.parse("class:2"))
    assert evaluate_folder(folder, labels, settings).notes[0].code == "PE-EVAL-005"  # nobody says what channels mean
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "plans.json").write_text(json.dumps({"image_reader_writer": reader}))
    found = evaluate_folder(folder, labels, settings)
    a, b = found.cases
    assert (a["pe_score"], b["pe_score"]) == (pytest.approx(0.8), 0.0)
    assert sorted(m.probability for m in found.scored[0].markers) == pytest.approx([0.6, 0.8])
    assert found.notes == found.failures == ()
    np.savez_compressed(folder / "b.npz", probabilities=np.zeros((3, *SHAPE), np.float32))
    assert [failure.code for failure in evaluate_folder(folder, labels, settings).failures] == ["PE-MODEL-016"]


def test_predictions_and_labels_are_brought_together(predictions: Path, labels: Path) -> None:
    found = evaluate_folder(predictions, labels)
    a, b = found.cases
    assert (a.case_id, a.emboli, a.found, a.false_positives, a["pe_score"]) == ("a", 2, 1, 1, pytest.approx(0.9))
    assert (b.case_id, b.emboli, b.found, b.false_positives, b["pe_score"]) == ("b", 0, 0, 0, 0.0)
    assert a.dice == pytest.approx(2 * 18 / (19 + 27))
    assert found.failures == found.missing == found.unlabelled == found.notes == ()
    cohort = found.cohort
    assert (cohort.sensitivity, cohort.false_positives_per_scan) == (0.5, 0.5)
    assert cohort.sensitivity_at_fp is not None
    assert [(p["budget"], p["threshold"], p["sensitivity"]) for p in cohort.sensitivity_at_fp] == [
        (1.0, 0.3, 1.0),
        (2.0, 0.3, 1.0),
        (4.0, 0.3, 1.0),
    ]


def test_labels_in_a_folder_per_study(predictions: Path, tmp_path: Path) -> None:
    for case, array in (("a", truth()), ("b", truth() * 0)):
        save(array, tmp_path / "studies" / case / "emboli.nii.gz")
        save(array, tmp_path / "studies" / case / "ct.nii.gz")
    found = evaluate_folder(predictions, tmp_path / "studies")
    assert [(c.case_id, c.emboli, c.found) for c in found.cases] == [("a", 2, 1), ("b", 0, 0)]
    assert found.failures == ()


def test_masks_of_other_tools_are_scored_without_tables(tmp_path: Path) -> None:
    save((truth() > 0).astype(np.uint8), tmp_path / "masks" / "a.nii.gz")
    save((truth() > 0).astype(np.float32), tmp_path / "labels" / "a.nii.gz")
    found = evaluate_folder(tmp_path / "masks", tmp_path / "labels")
    assert (found.cases[0].dice, found.cases[0].emboli, found.cases[0].found) == (1, 2, 2)
    assert (found.cases[0]["pe_score"], found.cohort.sensitivity_at_fp) == (None, None)
    assert [note.code for note in found.notes] == ["PE-EVAL-005"]


def test_class_maps(tmp_path: Path) -> None:
    classes = np.where(truth() > 0, 2, 0).astype(np.uint8)
    classes[5] = 1  # artery
    save(classes, tmp_path / "p" / "a.nii.gz")
    save(truth(), tmp_path / "g" / "a.nii.gz")
    settings = EvaluationSettings(prediction_kind=LabelKind.parse("class:2"))
    (case,) = evaluate_folder(tmp_path / "p", tmp_path / "g", settings).cases
    assert (case.dice, case.found, case.false_positives) == (1, 2, 0)


def test_nothing_is_dropped_silently(predictions: Path, labels: Path) -> None:
    save(truth(), labels / "c.nii.gz")  # no prediction
    save(truth(), labels / "d.nii.gz")
    save(truth(), predictions / "d.nii.gz", origin=(9.0, 9.0, 9.0))  # another place
    (predictions / "e.nii.gz").write_text("not an image")
    save(truth(), labels / "e.nii.gz")
    save(truth(), labels / "a.nrrd")  # two labels
    save(truth(), predictions / "f.nii.gz")  # no label
    save(truth().astype(np.float32), predictions / "b_probability.nii.gz")  # no instance map
    found = evaluate_folder(predictions, labels)
    assert [case.case_id for case in found.cases] == ["b"]
    codes = {failure.case_id: failure.code for failure in found.failures}
    assert codes.keys() == {"a", "c", "d", "e"}
    assert (codes["a"], codes["c"], codes["d"]) == ("PE-EVAL-004", "PE-EVAL-001", "PE-GEO-002")
    assert codes["e"].startswith("PE-IN-")
    assert (found.missing, found.unlabelled) == (("c",), ("f",))
    assert "PE-EVAL-002" in [note.code for note in found.notes]
    text = table(found)
    assert all(word in text for word in ("c: PE-EVAL-001", "d: PE-GEO-002", "PE-EVAL-002", "not scored"))


def test_labels_are_matched_under_the_name_that_results_get(tmp_path: Path) -> None:
    save(truth(), tmp_path / "p" / "scan-1.nii.gz")
    save(truth(), tmp_path / "g" / "scan 1.nii.gz")
    assert [case.case_id for case in evaluate_folder(tmp_path / "p", tmp_path / "g").cases] == ["scan-1"]


def test_folders_that_are_missing_or_empty_are_refused(tmp_path: Path, labels: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-IN-002.*predictions"):
        evaluate_folder(tmp_path / "none", labels)
    with pytest.raises(ConfigurationError, match=r"PE-IN-002.*labels"):
        evaluate_folder(labels, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="PE-IN-001"):
        evaluate_folder(labels, tmp_path / "empty")


def test_a_broken_table_fails_its_case(predictions: Path, labels: Path) -> None:
    (predictions / "a_emboli.csv").write_text("id,x\n1,2\n")
    found = evaluate_folder(predictions, labels)
    assert [(f.case_id, f.code) for f in found.failures] == [("a", "PE-OUT-011")]
    assert [case.case_id for case in found.cases] == ["b"]


def test_files_hold_what_was_found(predictions: Path, labels: Path, tmp_path: Path) -> None:
    save(truth(), labels / "c.nii.gz")
    write_evaluation(evaluate_folder(predictions, labels), tmp_path / "scores")
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["cohort"]["sensitivity"] == 0.5
    assert summary["cohort"]["negatives"]["clean"] == 1
    assert summary["cohort"]["dice_negative"] is None
    assert summary["cohort"]["sensitivity_at_fp"][0]["budget"] == 1.0
    assert (summary["failed"], summary["missing"]) == (1, ["c"])
    assert summary["failures"][0]["code"] == "PE-EVAL-001"
    assert summary["settings"]["overlap"] == "any"
    with (tmp_path / "scores" / "cases.csv").open(newline="") as file:
        a, b = csv.DictReader(file)
    assert (a["case"], a["emboli"], a["found"], a["false_positives"]) == ("a", "2", "1", "1")
    assert float(a["dice"]) == pytest.approx(36 / 46, abs=1e-5)
    assert (b["dice"], b["sensitivity"], b["predicted_ml"]) == ("", "", "0")


def command(predictions: Path, labels: Path, out: Path, *more: str) -> int:
    return main(["evaluate", "-i", str(predictions), "-g", str(labels), "-o", str(out), *more])


def test_command(predictions: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(predictions, labels, tmp_path / "scores") == 0
    printed = capsys.readouterr().out
    assert "embolus sensitivity" in printed
    assert "0.500 (1 of 2; 0 merged, 0 split)" in printed
    assert "sensitivity at 4 false+ a scan" in printed
    assert (tmp_path / "scores" / "summary.json").is_file()
    assert command(predictions, labels, tmp_path / "iou", "--overlap", "iou:0.9", "--fp-budgets", "0.5") == 0
    assert json.loads((tmp_path / "iou" / "summary.json").read_text())["settings"]["overlap"] == "iou:0.9"


def test_exit_codes(predictions: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(truth(), labels / "c.nii.gz")
    assert command(predictions, labels, tmp_path / "scores") == 3
    (tmp_path / "nothing").mkdir()
    assert command(tmp_path / "nothing", labels, tmp_path / "none") == 2
    assert "PE-EVAL-001" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert command(predictions, labels, tmp_path / "none", "--overlap", "much") == 2
    assert "PE-EVAL-003" in capsys.readouterr().err
    assert command(tmp_path / "absent", labels, tmp_path / "none") == 2
    assert "PE-IN-002" in capsys.readouterr().err
