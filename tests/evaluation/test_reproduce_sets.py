"""Several methods on one public dataset: one table, with the figures that a person counts."""

from __future__ import annotations

import csv
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.io import savemat

from pe_nnunet.cli import main
from pe_nnunet.errors import Note
from pe_nnunet.evaluation.public_sets import labelled_set
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.choice import FusionChoice
from pe_nnunet.inference import PEPredictor
from pe_nnunet.volumes import write_dicom_series

SHAPE = (10, 24, 24)
HU = np.random.default_rng(0).integers(-900, 400, SHAPE).astype(np.int16)
Truth = dict[str, NDArray[np.uint8]]


def grid(array: NDArray[Any]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 0.8, 1.5))
    image.SetOrigin((-20.0, 11.0, -300.0))
    return image


def truth_of(cases: tuple[str, ...]) -> Truth:
    """Two emboli a scan, the first low in the scan, the second high, the smaller one; at another place in each scan."""
    found = {}
    for number, case in enumerate(cases):
        label = np.zeros(SHAPE, np.uint8)
        label[1:3, 3 + number : 7 + number, 4:8] = 1
        label[7, 15:17, 14 + number : 16 + number] = 2
        found[case] = label
    return found


def write_findings(folder: Path, truth: Truth) -> tuple[Path, Path]:
    """Of one method that finds every embolus and no more, and one that finds the first of each scan, and two others."""
    perfect, half = folder / "perfect", folder / "half"
    for method in (perfect, half):
        method.mkdir(parents=True)
    for case, label in truth.items():
        sitk.WriteImage(grid(label), str(perfect / f"{case}.nii.gz"))
        other = np.where(label == 1, label, 0).astype(np.uint8)
        other[5, 1:3, 20:22], other[9, 21:23, 1:3] = 2, 3
        sitk.WriteImage(grid(other), str(half / f"{case}.nii.gz"))
    return perfect, half


def write_cad_pe(root: Path, truth: Truth) -> list[str]:
    (root / "rs").mkdir(parents=True)
    for case, label in truth.items():
        sitk.WriteImage(grid(label), str(root / "rs" / f"0{case}RefStd.nrrd"))
    return ["--cad-pe", str(root)]


@pytest.mark.parametrize(("labels", "images"), [("RS", "Images"), ("Label", "image")])
def test_folders_of_cad_pe_are_found_as_convert_finds_them(tmp_path: Path, labels: str, images: str) -> None:
    root = tmp_path / "rs_and_images"  # a name that begins as those of its folders do
    write_cad_pe(root, truth_of(("021",)))
    (root / "rs").rename(root / labels)
    (root / images).mkdir()
    sitk.WriteImage(grid(HU), str(root / images / "021.nrrd"))
    found = labelled_set("cad-pe", root, tmp_path / "out")
    assert (found.labels, found.cases, [ref.case_id for ref in found.refs]) == (root / labels, ("021",), ["021"])


def write_fumpe(root: Path, truth: Truth) -> list[str]:
    """The masks follow the names of the files, which here run against the positions."""
    for case, label in truth.items():
        folder = root / "CT_scans" / case
        write_dicom_series(grid(HU), folder, patient_id="ANON", entropy=case)
        files = sorted(folder.iterdir())  # lowest slice first
        for number, file in enumerate(files):
            file.rename(folder / f"D{len(files) - number:04d}.dcm")
        (root / "GroundTruth").mkdir(exist_ok=True)
        savemat(root / "GroundTruth" / f"{case}.mat", {"Mask": (label[::-1] > 0).astype(np.uint8).transpose(1, 2, 0)})
    return ["--fumpe", str(root)]


def write_read(root: Path, truth: Truth) -> list[str]:
    """The headers of the masks say another direction of the slices, and the index is right."""
    (root / "rs").mkdir(parents=True)
    for case, label in truth.items():
        write_dicom_series(grid(HU), root / "images" / case, patient_id="ANON", entropy=case)
        mask = sitk.GetImageFromArray((label > 0).astype(np.uint8))
        mask.SetSpacing((0.8, 0.8, 1.0))
        mask.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
        sitk.WriteImage(mask, str(root / "rs" / f"{case}.nii.gz"))
    return ["--read", str(root)]


@pytest.mark.parametrize(
    ("write", "cases", "dataset"),
    [
        (write_cad_pe, ("021", "022", "023"), "CAD-PE"),
        (write_fumpe, ("PAT001", "PAT002", "PAT003"), "FUMPE"),
        (write_read, ("01GE", "02GE", "01TS"), "READ"),
    ],
)
def test_the_table_holds_what_a_person_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Any, cases: tuple[str, ...], dataset: str
) -> None:
    truth = truth_of(cases)
    where, out = write(tmp_path / "data", truth), tmp_path / "out"
    perfect, half = write_findings(tmp_path, truth)
    command = ["reproduce", *where, "--findings", f"perfect={perfect}", f"half={half}", "-o", str(out)]
    assert main([*command, "--bootstrap", "50", "--workers", "1"]) == 0

    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["dataset"], row["scans"], row["emboli"]) for row in rows} == {(dataset, "3", "6")}
    found = {(r["method"], r["protocol"], r["eps_mm"], r["measure"]): (r["value"], r["low"], r["high"]) for r in rows}
    assert found["perfect", "", "", "dice"] == ("1", "1", "1")
    assert found["perfect", "", "", "sensitivity"] == ("1", "1", "1")
    assert found["half", "", "", "sensitivity"] == ("0.5", "0.5", "0.5")
    assert found["half", "", "", "precision"][0] == f"{1 / 3:.6g}"
    assert found["half", "", "", "false_positives_per_scan"] == ("2", "2", "2")
    # first embolus 32 voxels, second 4, two findings of 4 beside them
    assert float(found["half", "", "", "dice"][0]) == pytest.approx(2 * 32 / (36 + 40), abs=1e-5)
    for protocol in ("cad-pe", "aanet"):
        assert [found["half", protocol, "0", name][0] for name in ("tp", "fn", "fp")] == ["3", "3", "6"]
        assert found["perfect", protocol, "0", "sensitivity_at_1"] == ("1", "1", "1")
    assert found["half", "cad-pe", "0", "sensitivity_at_1"][0] == "0"  # all scores are 1: two false ones a scan or none
    assert found["half", "cad-pe", "0", "sensitivity_at_4"][0] == "0.5"

    text = (out / "table.md").read_text()
    assert text.startswith(f"# {dataset}: 3 scans with 6 emboli\n")
    assert "| perfect | 1.000 [1.000, 1.000] |" in text
    assert "| half | cad-pe | 0 | 0.0 [0.0, 0.0] | 50.0 [50.0, 50.0] | 50.0 [50.0, 50.0] |" in text
    assert text.count("not the published test set: 3 scans with 6 emboli") == 1  # of both methods
    assert capsys.readouterr().out.count("PE-EVAL-020") == 2
    assert json.loads((out / "half" / "summary.json").read_text())["cohort"]["false_positives"] == 6


def test_models_are_run_as_their_authors_run_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.model_import.conftest import MODEL, make_network, write_nnunet_layout

    truth = truth_of(("021", "022"))
    where, out = write_cad_pe(tmp_path / "data", truth), tmp_path / "out"
    (tmp_path / "data" / "images").mkdir()
    for case in ("020", *truth):
        sitk.WriteImage(grid(np.zeros(SHAPE, np.int16)), str(tmp_path / "data" / "images" / f"{case}.nrrd"))
    perfect, half = write_findings(tmp_path, truth)
    folder = write_nnunet_layout(tmp_path / "released", {0: make_network(0)})
    own = tmp_path / "Dataset501_Own" / MODEL
    own.parent.mkdir()
    folder.rename(own)  # a folder of another name, and plans of another dataset: not Duke's any more
    write_nnunet_layout(tmp_path / "released", {0: make_network(0)})
    plans = json.loads((own / "plans.json").read_text())
    (own / "plans.json").write_text(json.dumps({**plans, "dataset_name": "Dataset501_Own"}))
    asked: list[dict[str, Any]] = []

    class Predictor:
        choice = FusionChoice(FusionSettings(threshold=0.4), (Note("PE-FUS-008", "warning", "of other weights"),))
        notes = choice.notes

        def __init__(self, models: list[Any], **settings: Any) -> None:
            inspect.signature(PEPredictor).bind(models, **settings)
            asked.append({**settings, "folder": models[0].folder})

    def predict(_: Predictor, refs: list[Any], findings: Path, **__: object) -> None:
        assert [ref.case_id for ref in refs] == ["021", "022"]
        findings.parent.mkdir(parents=True)
        (perfect if len(asked) == 1 else half).rename(findings)

    monkeypatch.setattr("pe_nnunet.inference.PEPredictor", Predictor)
    monkeypatch.setattr("pe_nnunet.inference.batch.predict_batch", predict)
    command = ["reproduce", *where, "-m", str(folder), str(own), "--names", "Duke-5", "ours", "-o", str(out)]
    assert main([*command, "--bootstrap", "10", "--workers", "1", "-step_size", "0.6"]) == 0
    duke, ours = asked
    assert (duke["folder"], ours["folder"]) == (folder, own)
    assert (duke["fusion"].threshold, duke["fusion"].min_volume_mm3, duke["fusion"].nms_mm) == (0.5, 0.0, 0.0)
    assert ours["fusion"] is None  # its own fusion.json, or the defaults
    assert {one["inference"].step for one in asked} == {0.6}
    assert all(one["inference"].mirroring for one in asked)
    text = (out / "table.md").read_text()
    assert "Duke-5: Zhang Y" in text
    assert "CC-BY-NC-4.0" in text
    assert "86.6 % of 209 emboli" in text
    assert "ours: fold 0 of" in text  # nobody can tell what it was trained on
    assert "| Duke-5 | 1.000" in text
    assert "ours: windows 0.6 of a window apart, mirrored; kept from probability 0.4 on, from defaults" in text
    assert "ours: PE-FUS-008 warning: of other weights" in text


def test_scans_that_one_method_lacks_are_named_beside_the_table(tmp_path: Path) -> None:
    truth = truth_of(("021", "022", "023"))
    where, out = write_cad_pe(tmp_path / "data", truth), tmp_path / "out"
    perfect, half = write_findings(tmp_path, truth)
    (half / "022.nii.gz").unlink()
    command = ["reproduce", *where, "--findings", f"perfect={perfect}", f"half={half}", "-o", str(out)]
    assert main([*command, "--bootstrap", "10", "--workers", "1"]) == 3
    assert "- half: not scored, and in none of its numbers: 022" in (out / "table.md").read_text()
    with (out / "table.csv").open() as file:
        scans = {(row["method"], row["scans"]) for row in csv.DictReader(file)}
    assert scans == {("perfect", "3"), ("half", "2")}


def test_a_method_that_was_trained_on_the_scans_is_refused_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = truth_of(("020", "021"))
    where, out = write_cad_pe(tmp_path / "data", truth), tmp_path / "out"
    perfect, half = write_findings(tmp_path, truth)
    command = ["reproduce", *where, "--findings", f"aanet={perfect}", f"other={half}", "-o", str(out)]
    assert main([*command, "--scans", "020", "021", "--bootstrap", "10", "--workers", "1"]) == 3
    error = capsys.readouterr().err
    assert "aanet: PE-EVAL-012: aanet was trained on 020" in error
    assert "| other |" in (out / "table.md").read_text()
    with (out / "table.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"other"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no model and no findings"),
        (["swin"], "no published model swin"),
        (["--findings", "somewhere"], "is of no method"),
        (["--findings", "a=x", "a=y"], "comes twice"),
        (["aanet", "duke", "-d", "5"], "-d says where one"),
    ],
)
def test_what_does_not_fit_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    where = write_cad_pe(tmp_path / "data", truth_of(("021",)))
    assert main(["reproduce", *arguments, *where, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("PE-EVAL-019")
    assert message in error
