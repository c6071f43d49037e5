"""Predictions, datasets, evaluations and phantoms: whole ones have no finding, and each kind of damage has its own."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cases import CaseFailure, write_errors
from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.cli import main
from pe_nnunet.dataset_conversion import ConvertOptions, convert
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.evaluation import evaluate_folder, write_evaluation
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, write_case, write_cohort_report, write_summary
from pe_nnunet.outputs.writers import DEFAULT
from pe_nnunet.phantom import coarse_settings, write_cohort
from pe_nnunet.verification.verify import verify

REPOSITORY = Path(__file__).parents[2]
SHAPE = (12, 20, 24)
Damage = Callable[[Path], Any]


def codes(place: Path) -> set[str]:
    return {finding.code for checked in verify(place) for finding in checked.findings}


def cut(path: Path, left: int = 100) -> None:
    path.write_bytes(path.read_bytes()[:left])


def edited(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def image(array: np.ndarray) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing((2.0, 2.0, 3.0))
    return made


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of two scans, one with two emboli, one without; a third failed."""
    folder, rows = tmp_path_factory.mktemp("written"), []
    probability = np.zeros(SHAPE, np.float32)
    probability[2:5, 3:8, 3:8] = 0.9
    probability[8:11, 12:18, 14:20] = 0.7
    scan = image(np.full(SHAPE, 40, np.int16))
    for case, values in (("a", probability), ("b", np.zeros(SHAPE, np.float32))):
        emboli = find_emboli(values, (3.0, 2.0, 2.0), FusionSettings(min_volume_mm3=0))
        rows.append(write_case(CaseResult(case, scan, emboli), folder, DEFAULT - {"picture"}))
    failed = [CaseFailure("c", "PE-IN-003", "c.nii.gz cannot be read")]
    write_errors(failed, folder)
    write_summary(rows, folder)
    write_cohort_report(rows, failed, OutputFolder(folder))
    return folder


@pytest.fixture
def predictions(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "predictions"))


def test_whole_predictions_have_no_finding(predictions: Path) -> None:
    (checked,) = verify(predictions)
    assert (checked.kind, list(checked.findings)) == ("predictions", [])
    # two cases with manifest, label, table and page; and the tables and the page of the run
    assert checked.files == 2 * 4 + 3


def change_summary(folder: Path, column: int, value: str) -> None:
    rows = list(csv.reader((folder / "summary.csv").open()))
    rows[1][column] = value
    (folder / "summary.csv").write_text("".join(",".join(row) + "\n" for row in rows))


def swap_labels(folder: Path) -> None:
    shutil.copy(folder / "b.nii.gz", folder / "a.nii.gz")


def other_voxels_with_the_hash_of_them(folder: Path) -> None:
    """As one does who knows of the hashes."""
    from hashlib import sha256

    swap_labels(folder)
    digest = sha256((folder / "a.nii.gz").read_bytes()).hexdigest()
    edited(folder / "a.json", lambda manifest: manifest["files_sha256"].update(emboli=digest))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda f: cut(f / "a.nii.gz"), {"PE-VER-004", "PE-IN-003"}),
        (lambda f: (f / "a.nii.gz").unlink(), {"PE-VER-003"}),
        (swap_labels, {"PE-VER-004", "PE-VER-006"}),
        (other_voxels_with_the_hash_of_them, {"PE-VER-006"}),
        (lambda f: (f / "a_emboli.csv").write_text("id,x\n1,2\n"), {"PE-VER-004", "PE-OUT-011"}),
        (lambda f: cut(f / "a_report.html"), {"PE-VER-004", "PE-VER-008"}),
        (lambda f: cut(f / "a.json"), {"PE-OUT-012"}),
        (lambda f: (f / "a.json").unlink(), {"PE-VER-005", "PE-VER-006"}),
        (lambda f: (f / "a.json").rename(f / "x.json"), {"PE-VER-006"}),
        (lambda f: edited(f / "a.json", lambda m: m.update(emboli=1)), {"PE-VER-006"}),
        (lambda f: edited(f / "a.json", lambda m: m.update(emboli=10**12)), {"PE-VER-006"}),
        (lambda f: edited(f / "a.json", lambda m: m.update(files=[])), {"PE-OUT-012"}),
        (lambda f: edited(f / "a.json", lambda m: m["files"].pop("emboli")), {"PE-VER-005", "PE-VER-006"}),
        (lambda f: edited(f / "a.json", lambda m: m.pop("files_sha256")), {"PE-VER-009"}),
        (
            lambda f: edited(f / "a.json", lambda m: m["files"].update(emboli="../a.nii.gz")),
            {"PE-VER-005", "PE-VER-006"},
        ),
        (lambda f: (f / "summary.csv").unlink(), {"PE-VER-003"}),
        (lambda f: change_summary(f, 1, "0.1"), {"PE-VER-006"}),
        (lambda f: change_summary(f, 0, "z"), {"PE-VER-006"}),
        (lambda f: (f / "summary.csv").write_text("case\n"), {"PE-VER-008"}),
        (lambda f: (f / "errors.json").unlink(), {"PE-VER-003"}),
        (lambda f: (f / "errors.json").write_text('[{"case": "c", "code": "X"}]'), {"PE-VER-008"}),
        (lambda f: edited(f / "errors.json", lambda e: e[0].update(case="a")), {"PE-VER-006"}),
        (lambda f: (f / "report.html").unlink(), {"PE-VER-003"}),
        (lambda f: (f / "d_probability.nii.gz").write_bytes(b""), {"PE-VER-005"}),
        (lambda f: os.mkfifo(f / "d.json"), {"PE-VER-005"}),  # which nobody writes into
        (lambda f: (f / "notes.txt").write_text("a person's"), {"PE-VER-005"}),
        (lambda f: (f / ".writing-0123456789abcdef.nii.gz").write_bytes(b""), {"PE-VER-007"}),
        (lambda f: (f / ".writing.lock").touch(), set()),  # one that nobody holds stays where parts were predicted
    ],
)
def test_damage_to_predictions_is_named(predictions: Path, damage: Damage, expected: set[str]) -> None:
    damage(predictions)
    assert codes(predictions) == expected


def test_a_run_at_work_is_said(predictions: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (predictions / ".writing.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert codes(predictions) == {"PE-OUT-014"}


def test_the_command(predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(predictions)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{predictions}: predictions, 11 files, as it should be"]
    (predictions / "b.nii.gz").unlink()
    assert main(["verify", str(predictions), "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    (place,) = report["places"]
    assert report["errors"] == len(place["findings"]) == 1
    assert {name: place["findings"][0][name] for name in ("code", "kind")} == {"code": "PE-VER-003", "kind": "error"}
    (predictions / "b.nii.gz").write_bytes(b"")
    assert main(["verify", str(predictions)]) == 3
    assert any(line.startswith("PE-VER-004 error: ") for line in capsys.readouterr().out.splitlines())


def test_what_is_not_known_or_of_several_kinds_is_said(predictions: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    for path, code in (("empty", "PE-VER-001"), ("text.txt", "PE-VER-001"), ("missing", "PE-IN-002")):
        with pytest.raises(ConfigurationError, match=code):
            verify(tmp_path / path)
        assert main(["verify", str(tmp_path / path)]) == 2
    (predictions / "phantom.json").write_text('{"cases": {}}')
    assert "PE-VER-002" in codes(predictions)


def test_neither_torch_nor_a_network_is_needed(predictions: Path, fresh_python: Callable[..., Any]) -> None:
    code = f"""
import sys
from pathlib import Path
sys.modules["torch"] = sys.modules["nnunetv2"] = None
from pe_nnunet.verification.verify import verify
answer = [len(place.findings) for place in verify(Path({str(predictions)!r}))]
"""
    assert fresh_python(code, TORCH_DEVICE_BACKEND_AUTOLOAD="0", PYTHONPATH=str(REPOSITORY)) == [0]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four phantoms, and the cohort that it is from."""
    folder = tmp_path_factory.mktemp("converted")
    (folder / "raw").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(folder / "raw"))
        patch.delenv("nnUNet_preprocessed", raising=False)
        write_cohort(folder / "cohort", 2, coarse_settings(spacing_mm=(4.0, 4.0, 4.0)), 5, "mixed")
        convert("studies", folder / "cohort", 501, "PE", ConvertOptions(folds=2, on_no_lungs="full-volume"))
    return folder


@pytest.fixture
def dataset(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted / "raw" / "Dataset501_PE", tmp_path / "Dataset501_PE"))


@pytest.fixture
def cohort(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted / "cohort", tmp_path / "cohort"))


def test_whole_data_have_no_finding(dataset: Path, cohort: Path) -> None:
    (checked,) = verify(dataset)
    assert (checked.kind, list(checked.findings)) == ("a converted dataset", [])
    (checked,) = verify(cohort)
    assert (checked.kind, list(checked.findings)) == ("a phantom cohort", [])
    assert checked.files == sum(path.is_file() for path in cohort.rglob("*"))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda d: cut(d / "imagesTr/phantom_001_0000.nii.gz"), {"PE-VER-004", "PE-IN-003"}),
        (lambda d: (d / "labelsTr/phantom_001.nii.gz").unlink(), {"PE-VER-003"}),
        (lambda d: shutil.copy(d / "labelsTr/phantom_001.nii.gz", d / "labelsTr/x.nii.gz"), {"PE-VER-005"}),
        (lambda d: edited(d / "dataset.json", lambda c: c.update(numTraining=7)), {"PE-VER-006"}),
        (lambda d: edited(d / "dataset.json", lambda c: c["labels"].pop("PE")), {"PE-VER-006"}),
        (lambda d: edited(d / "splits_final.json", lambda c: c[0]["val"].append("nobody")), {"PE-TRAIN-012"}),
        (lambda d: (d / "pe_nnunet/cases.json").write_text("{}"), {"PE-CONV-013"}),
        (lambda d: cut(d / "pe_nnunet/sheets/phantom_001.png"), {"PE-VER-004", "PE-VER-008"}),
        (lambda d: (d / "pe_nnunet/report.csv").write_text("case\nz\n"), {"PE-VER-006"}),
        (lambda d: (d / "pe_nnunet/errors.json").unlink(), {"PE-VER-003"}),
        (lambda d: d.with_name(f".{d.name}.building").mkdir(), {"PE-VER-007"}),
    ],
)
def test_damage_to_a_dataset_is_named(dataset: Path, damage: Damage, expected: set[str]) -> None:
    damage(dataset)
    assert codes(dataset) == expected


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda c: cut(c / "phantom_001/ct.nii.gz"), {"PE-VER-004", "PE-IN-003"}),
        (lambda c: cut(next((c / "phantom_002/ct").iterdir()), 600), {"PE-VER-004", "PE-VER-008"}),
        (lambda c: (c / "phantom_001/lung.nii.gz").unlink(), {"PE-VER-003"}),
        (lambda c: shutil.rmtree(c / "phantom_002"), {"PE-VER-003"}),
        (lambda c: (c / "phantom_003").mkdir(), {"PE-VER-005"}),
        (lambda c: (c / "phantom.json").write_text("[]"), {"PE-VER-008"}),
        (lambda c: (c / ".writing-0123456789abcdef").mkdir(), {"PE-VER-007"}),
    ],
)
def test_damage_to_a_phantom_cohort_is_named(cohort: Path, damage: Damage, expected: set[str]) -> None:
    damage(cohort)
    assert codes(cohort) == expected


@pytest.fixture(scope="module")
def scored(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictions, scored against labels that have one embolus where they have two, none where they have none."""
    folder = tmp_path_factory.mktemp("scored")
    ids = np.zeros(SHAPE, np.uint8)
    ids[2:5, 3:8, 3:8] = 1
    (folder / "labels").mkdir()
    sitk.WriteImage(image(ids), str(folder / "labels" / "a.nii.gz"))
    sitk.WriteImage(image(np.zeros(SHAPE, np.uint8)), str(folder / "labels" / "b.nii.gz"))
    write_evaluation(evaluate_folder(written, folder / "labels"), folder / "evaluation")
    return folder / "evaluation"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda e: None, set()),
        (lambda e: (e / "cases.csv").unlink(), {"PE-VER-003"}),
        (lambda e: (e / "summary.json").unlink(), {"PE-VER-003"}),
        (lambda e: edited(e / "summary.json", lambda s: s["cohort"].update(found=0)), {"PE-VER-006"}),
        (lambda e: edited(e / "summary.json", lambda s: s["scored_labels"].pop("a")), {"PE-VER-006"}),
        (lambda e: cut(next(e.glob("*.png")), 300), {"PE-VER-008"}),
        (lambda e: cut(e / "report.html"), {"PE-VER-008"}),
        (lambda e: (e / "cases.csv").write_text("".join((e / "cases.csv").open().readlines()[:2])), {"PE-VER-006"}),
    ],
)
def test_an_evaluation(scored: Path, tmp_path: Path, damage: Damage, expected: set[str]) -> None:
    folder = Path(shutil.copytree(scored, tmp_path / "evaluation"))
    damage(folder)
    assert codes(folder) == expected
