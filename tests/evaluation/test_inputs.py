"""Predictions in the forms of any tool, and what the command writes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.evaluation import EvaluationSettings, evaluate_folder, read_groups, read_patients
from pe_nnunet.evaluation.text_tables import aanet_csv, cad_pe_text, read_cad_pe, read_cases
from pe_nnunet.metrics.bootstrap import Resampling
from pe_nnunet.metrics.markers import VoxelMarker, markers_of_findings, markers_of_table
from pe_nnunet.outputs.emboli_table import read_emboli_csv

SHAPE = (4, 10, 20)
FEW = Resampling(20)
BOTH = EvaluationSettings(protocols=("cad-pe", "aanet"), resampling=FEW)


def image_of(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.5, 2.0))
    image.SetOrigin((-10.0, 20.0, 3.0))
    return image


def save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image_of(array), str(path))


def truth() -> np.ndarray:
    ids = np.zeros(SHAPE, np.uint8)
    ids[1, 2:5, 2:5] = 1
    ids[1, 2:5, 15:18] = 2
    return ids


MARKERS = (VoxelMarker((1, 3, 3), 0.9), VoxelMarker((3, 9, 10), 0.6), VoxelMarker((1, 3, 13), 0.4))  # last: 1 mm off


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    save(truth(), tmp_path / "labels" / "021.nii.gz")
    save(truth() * 0, tmp_path / "labels" / "022.nii.gz")
    return tmp_path / "labels"


def test_tables_alone_in_aanets_format(labels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "aanet"
    folder.mkdir()
    grid = image_of(truth())
    (folder / "021.csv").write_text(aanet_csv(MARKERS, grid))
    (folder / "022.csv").write_text(aanet_csv((), grid))
    (folder / "summary.csv").write_text("case,what\n")  # of another kind, and nobody's
    assert markers_of_table(read_emboli_csv(folder / "021.csv"), grid) == MARKERS
    found = evaluate_folder(folder, labels, BOTH)
    assert found.failures == found.unlabelled == ()
    first, second = found.cases
    assert (first.emboli, first.found, first.findings, first.false_positives, first["pe_score"]) == (2, 1, 3, 2, 0.9)
    assert (first.dice, first["predicted_ml"], first["truth_ml"]) == (None, None, pytest.approx(9 / 1000))
    assert (second.findings, second["pe_score"]) == (0, 0.0)
    counts = {(d.protocol, d.eps_mm): (d.curve.true_positives, d.curve.false_positives) for d in found.detections}
    assert counts == {
        ("cad-pe", 0): (1, 2),
        ("cad-pe", 2): (2, 1),
        ("cad-pe", 5): (2, 1),  # the second marker is 5.3 mm off
        ("aanet", 0): (1, 2),
        ("aanet", 2): (2, 1),
        ("aanet", 5): (1, 0),  # both emboli in one piece, whose rounded-up ball holds it
    }


def test_one_file_of_the_challenge(labels: Path, tmp_path: Path) -> None:
    file = tmp_path / "submission.txt"
    file.write_text("Scan X Y Z Confidence\n" + cad_pe_text({"21": MARKERS}))
    assert read_cad_pe(file) == {"21": MARKERS}
    found = evaluate_folder(file, labels, BOTH)
    assert [(c.case_id, c.found, c.findings) for c in found.cases] == [("021", 1, 3), ("022", 0, 0)]
    assert found.failures == found.unlabelled == ()
    file.write_text("7 1,2 3\n\n7\t4 5 6 .5\n")  # commas, tabs, and a marker without a confidence
    assert read_cad_pe(file) == {"7": (VoxelMarker((3, 2, 1), 1.0), VoxelMarker((6, 5, 4), 0.5))}
    assert evaluate_folder(file, labels, BOTH).unlabelled == ("7",)


@pytest.mark.parametrize("line", ["021 1 2", "021 1 2 x 0.5", "021 1 2 3 0.5 6", "021 1 2 3 nan"])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "submission.txt"
    file.write_text(f"021 1 2 3 0.5\n{line}\n")
    with pytest.raises(InputError, match=r"PE-EVAL-006.*line 2"):
        read_cad_pe(file)


def test_masks_with_and_without_a_probability(labels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tool"
    mask = (truth() == 1).astype(np.uint8)
    mask[3, 9, 9:12] = 1
    probability = np.where(mask, 0.6, 0.1).astype(np.float32)
    probability[1, 2, 2] = 0.95
    for case, values in (("021", mask), ("022", mask * 0)):
        save(values, folder / f"{case}.nii.gz")
    plain = evaluate_folder(folder, labels, BOTH)
    assert [note.code for note in plain.notes] == ["PE-EVAL-005"]
    assert (plain.cohort.sensitivity_at_fp, plain.calibration) == (None, ())
    assert plain.detections[0].curve.thresholds.tolist() == [np.inf, 1.0]
    for case, values in (("021", probability), ("022", probability * 0)):
        save(values, folder / f"{case}_probability.nii.gz")
    scored = evaluate_folder(folder, labels, BOTH)
    assert scored.notes == ()
    assert [case["pe_score"] for case in scored.cases] == [pytest.approx(0.95), 0.0]
    assert scored.detections[0].sensitivity_at_fp[0.125].value == 0.5
    assert sorted(scored.calibration) == [(pytest.approx(0.6), False), (pytest.approx(0.95), True)]


@pytest.mark.parametrize("wrong", [95.0, -0.6, np.nan, np.inf])
@pytest.mark.parametrize("voxel", [(1, 3, 3), (0, 0, 0)], ids=["inside", "outside"])
def test_values_that_are_no_probabilities_fail_their_case_alone(
    labels: Path, tmp_path: Path, wrong: float, voxel: tuple[int, int, int]
) -> None:
    folder, out = tmp_path / "tool", tmp_path / "scores"
    for case in ("021", "022"):
        save((truth() == 1).astype(np.uint8), folder / f"{case}.nii.gz")
        probability = np.where(truth() == 1, 0.5, 0).astype(np.float32)
        probability[1, 4, 4] = 1.0005  # rounding
        probability[voxel] = wrong if case == "022" else probability[voxel]
        save(probability, folder / f"{case}_probability.nii.gz")
    assert main(["evaluate", "-i", str(folder), "-g", str(labels), "-o", str(out), "--bootstrap", "0"]) == 3
    (failure,) = json.loads((out / "summary.json").read_text())["failures"]
    assert (failure["case_id"], failure["code"]) == ("022", "PE-FUS-002")
    assert "022_probability.nii.gz" in failure["message"]
    (case,) = read_cases(out)
    assert (case.case_id, case.found) == ("021", 1)
    assert case["pe_score"] == pytest.approx(1, abs=1e-4)  # 0.9999 and a share of the mean
    assert case["pe_score"] <= 1


def test_confidences_that_are_no_probabilities_are_ranked_and_have_no_calibration(labels: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "submission.txt", tmp_path / "scores"
    file.write_text("021 3 3 1 -0.5\n021 10 9 3 -2\n022 10 9 3 87\n")
    assert main(["evaluate", "-i", str(file), "-g", str(labels), "-o", str(out), "--bootstrap", "0"]) == 0
    assert (out / "summary.json").is_file()
    assert (out / "froc.png").is_file()
    assert not (out / "calibration.png").exists()


@pytest.mark.parametrize("wrong", ["87", "-0.1", "nan"])
def test_probabilities_in_a_table_are_from_0_to_1(tmp_path: Path, wrong: str) -> None:
    for row in (f"{wrong},0.5", f"1,{wrong}"):
        (tmp_path / "a.csv").write_text(f"id,x,y,z,prob,mean_prob\n1,1,2,3,{row}\n")
        with pytest.raises(InputError, match=r"PE-OUT-011.*line 2.*prob"):
            read_emboli_csv(tmp_path / "a.csv")


def test_the_marker_of_a_saturated_finding_is_in_its_middle() -> None:
    ids, probability = truth(), np.zeros(SHAPE, np.float32)
    probability[ids == 1] = 1.0
    probability[ids == 2] = 0.5
    probability[1, 2, 17] = 0.75
    assert markers_of_findings(ids, probability) == (VoxelMarker((1, 3, 3), 1.0), VoxelMarker((1, 2, 17), 0.75))


def test_findings_that_are_all_certain_are_ranked_by_their_mean(labels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sure"
    folder.mkdir()
    grid = image_of(truth())
    rows = [("021", (1, 3, 3), 0.9), ("021", (1, 3, 16), 0.7), ("021", (3, 9, 10), 0.8), ("022", (3, 9, 10), 0.6)]
    for case in ("021", "022"):
        lines = ["id,x,y,z,prob,mean_prob"]
        for number, (of, (z, y, x), mean) in enumerate(rows):
            position = grid.TransformIndexToPhysicalPoint((x, y, z))
            lines += [f"{number},{','.join(map(str, position))},1,{mean}"] if of == case else []
        (folder / f"{case}_emboli.csv").write_text("\n".join(lines))
    curve = evaluate_folder(folder, labels, EvaluationSettings(resampling=FEW)).detections[0].curve
    assert curve.fp_per_scan.tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.sensitivity.tolist() == [0, 0.5, 0.5, 1, 1]


def test_the_command_writes_numbers_pictures_and_a_page(labels: Path, tmp_path: Path) -> None:
    file, groups = tmp_path / "submission.txt", tmp_path / "groups.csv"
    file.write_text(cad_pe_text({"021": MARKERS}))
    groups.write_text("case,scanner\n021,A\n022,B <1>\n")
    out = tmp_path / "scores"
    arguments = ["evaluate", "-i", str(file), "-g", str(labels), "-o", str(out), "--protocol", "cad-pe", "aanet"]
    assert main([*arguments, "--eps", "0", "2", "--bootstrap", "20", "--groups", str(groups), "scanner"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["froc"].keys() == {"cad-pe", "aanet"}
    assert {k: summary["froc"]["cad-pe"]["2"][k] for k in ("tp", "fn", "fp")} == {"tp": 2, "fn": 0, "fp": 1}
    assert summary["froc"]["aanet"]["0"]["sensitivity_at_fp"]["1"] == 0.5
    assert summary["groups"]["A"]["cohort"]["emboli"] == 2
    low, high = summary["intervals"]["sensitivity"]
    assert 0 <= low <= 0.5 <= high <= 1
    assert {p.name for p in out.iterdir()} == {
        "cases.csv", "froc.csv", "summary.json", "report.html", "froc.png", "sizes.png", "calibration.png",
    }  # fmt: skip
    html = (out / "report.html").read_text()
    assert "Subgroup B &lt;1&gt;" in html
    assert 'src="froc.png"' in html
    assert (out / "froc.csv").read_text().splitlines()[1] == "cad-pe,0,inf,0,0"


def test_settings_and_groups_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for wrong in ({"eps_mm": (-1.0,)}, {"protocols": ("luna",)}, {"resampling": Resampling(-1)}):
        with pytest.raises(ConfigurationError, match="PE-EVAL-003"):
            EvaluationSettings(**wrong)
    table = tmp_path / "groups.csv"
    table.write_text("name,scanner\na,b\n")
    with pytest.raises(InputError, match=r"PE-EVAL-007.*case"):
        read_groups(table, "scanner")
    with pytest.raises(InputError, match="PE-IN-002"):
        read_groups(tmp_path / "none.csv", "scanner")


def test_tables_that_are_no_csv_in_utf_8_are_refused_by_their_codes(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    for content in ("case,patient\na,Köln\n".encode("cp1252"), b"case,patient\na," + b"x" * 200_000):
        table.write_bytes(content)  # as Excel writes it; a field that csv takes for too long
        for read in (read_patients, lambda path: read_groups(path, "patient")):
            with pytest.raises(InputError, match=r"PE-EVAL-007: .*groups.csv cannot be read.*CSV in UTF-8"):
                read(table)
    table.rename(tmp_path / "cases.csv")
    with pytest.raises(InputError, match=r"PE-EVAL-008: .*cases.csv is no table of scored cases"):
        read_cases(tmp_path)


def test_a_case_of_two_patients_is_refused(tmp_path: Path) -> None:
    table, record = tmp_path / "patients.csv", tmp_path / "cases.json"
    table.write_text("case,patient\na b,p\na-b,p\na b,\n,x\n,y\n")  # results have one name for both
    assert read_patients(table) == {"a-b": "p"}
    table.write_text("case,patient\na b,p\na-b,q\n")
    record.write_text(json.dumps({"cases": {"a b": {"patient": "p"}, "a-b": {"patient": "q"}}}))
    for path in (table, record):
        with pytest.raises(InputError, match=r"PE-EVAL-007: .* gives case a-b several values of patient"):
            read_patients(path)
    table.write_text("case,scanner\na,A\na,B\n")
    with pytest.raises(InputError, match=r"PE-EVAL-007: .* gives case a several values of scanner"):
        read_groups(table, "scanner")


def test_whose_the_scans_are(labels: Path, tmp_path: Path) -> None:
    file, table, record = tmp_path / "submission.txt", tmp_path / "patients.csv", tmp_path / "cases.json"
    file.write_text(cad_pe_text({"021": MARKERS}))
    table.write_text("case,patient\n021,p\n022,p\n")
    record.write_text(json.dumps({"cases": {"021": {"patient": "p"}, "022": {"patient": "p"}}}))
    assert read_patients(table) == read_patients(record) == {"021": "p", "022": "p"}
    found = evaluate_folder(file, labels, BOTH, patients=read_patients(table))
    assert [case.patient for case in found.cases] == ["p", "p"]
    interval = found.cohort.intervals["false_positives_per_scan"]
    assert (interval.low, interval.value, interval.high) == (None, 1, None)  # of one patient there is no interval
    band = found.detections[0].sensitivity_at_fp[1.0]
    assert (band.low, band.high) == (None, None)
    assert evaluate_folder(file, labels, BOTH).cohort.intervals["false_positives_per_scan"].low is not None
    out = tmp_path / "scores"
    command = ["evaluate", "-i", str(file), "-g", str(labels), "-o", str(out), "--bootstrap", "5"]
    assert main([*command, "--patients", str(record), "--workers", "1"]) == 0
    assert [case.patient for case in read_cases(out)] == ["p", "p"]
    record.write_text("[]")
    with pytest.raises(InputError, match="PE-EVAL-007"):
        read_patients(record)
    with pytest.raises(InputError, match="PE-IN-002"):
        read_patients(tmp_path / "none.json")
    assert main([*command, "--workers", "0"]) == 2


def test_workers_give_the_same(labels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tool"
    for case in ("021", "022"):
        save((truth() == 1).astype(np.uint8), folder / f"{case}.nii.gz")
    (labels / "023.nii.gz").write_bytes(b"no image")
    save(truth(), folder / "023.nii.gz")
    alone = evaluate_folder(folder, labels, BOTH)
    together = evaluate_folder(folder, labels, BOTH, workers=2)
    assert together.cases == alone.cases
    assert [(f.case_id, f.code) for f in together.failures] == [("023", "PE-IN-003")]
    assert [d.score for d in together.detections] == [d.score for d in alone.detections]


def test_what_was_scored_is_written_for_others_and_scores_the_same_again(labels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tool"
    for case, ids in (("021", (truth() == 1) * np.uint8(7)), ("022", truth())):
        save(ids, folder / f"{case}.nii.gz")
        save((ids > 0) * np.float32(0.6), folder / f"{case}_probability.nii.gz")
    out = tmp_path / "scores"
    first = ["evaluate", "-g", str(labels), "--bootstrap", "0", "--protocol", "cad-pe", "aanet", "--workers", "1"]
    assert main([*first, "-i", str(folder), "-o", str(out), "--markers", "--prediction-kind", "instances"]) == 0
    assert (out / "markers.txt").read_text() == "021 3 3 1 0.6\n022 3 3 1 0.6\n022 16 3 1 0.6\n"
    assert (out / "markers" / "021.csv").read_text() == "id,x,y,z,prob\n1,-8.5000,21.5000,5.0000,0.6\n"
    scored = json.loads((out / "summary.json").read_text())["froc"]
    for name, again in (("text", out / "markers.txt"), ("tables", out / "markers")):
        assert main([*first, "-i", str(again), "-o", str(tmp_path / name)]) == 0
        assert json.loads((tmp_path / name / "summary.json").read_text())["froc"] == scored
