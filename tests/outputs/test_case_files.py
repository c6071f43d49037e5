from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet import __version__
from pe_nnunet.cases import CaseFailure, write_errors
from pe_nnunet.detection import Detections, SliceBox
from pe_nnunet.detection.box_tubes import tube_of
from pe_nnunet.detection.results import read_detections
from pe_nnunet.errors import GeometryError, InputError, OutputError
from pe_nnunet.fusion import find_emboli
from pe_nnunet.outputs import CaseResult, read_case_summary, read_emboli_csv, write_case, write_summary
from pe_nnunet.outputs import overview as overview_module
from pe_nnunet.outputs.artery import level_of
from pe_nnunet.outputs.writers import DEFAULT
from pe_nnunet.volumes.files.volume_file import file_sha256
from pe_nnunet.volumes.geometry import require_same_grid

QUICK = DEFAULT - {"picture"}


def test_everything_about_a_case_is_written(case: CaseResult, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "run"
    write_case(case, folder, DEFAULT | {"probability"})
    assert sorted(p.name for p in folder.iterdir()) == [
        "case_1.json",
        "case_1.nii.gz",
        "case_1.png",
        "case_1_emboli.csv",
        "case_1_probability.nii.gz",
        "case_1_report.html",
    ]
    labels = sitk.ReadImage(str(folder / "case_1.nii.gz"))
    require_same_grid(case.image, labels, "the written labels")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), case.emboli.labels)
    probability = sitk.ReadImage(str(folder / "case_1_probability.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(probability), sitk.GetArrayFromImage(case.probability))
    assert [m.id for m in read_emboli_csv(folder / "case_1_emboli.csv")] == [1, 2, 3]


def test_manifest_and_page_name_the_cards_of_models(case: CaseResult, tmp_path: Path) -> None:
    card = {"M__P__3d_fullres": {"file": "README.md", "sha256": "ef" * 32}}
    write_case(replace(case, model_cards=card), tmp_path, QUICK)
    assert json.loads((tmp_path / "case_1.json").read_text(encoding="utf-8"))["model_cards"] == card
    page = (tmp_path / "case_1_report.html").read_text(encoding="utf-8")
    assert f"M__P__3d_fullres/README.md, sha256 {'ef' * 32}" in page


def test_the_manifest_says_what_was_found_and_how(case: CaseResult, tmp_path: Path) -> None:
    write_case(case, tmp_path, QUICK)
    manifest = json.loads((tmp_path / "case_1.json").read_text(encoding="utf-8"))
    assert manifest["case"] == "case_1"
    assert "Research use only" in manifest["notice"]
    assert manifest["pe_score"] == 0.95
    assert (manifest["emboli"], manifest["candidates"]) == (2, 3)
    assert (manifest["volume_mm3"], manifest["volumes_mm3"]) == (945.0, [864.0, 81.0])
    timings = manifest["timings_s"]
    assert (timings["read"], timings["predict"]) == (1.25, 2.5)
    assert 0 < timings["outputs"] < 60
    assert manifest["seconds"] == pytest.approx(sum(timings.values()), abs=0.01)
    first = manifest["findings"][0]
    assert (first["id"], first["probability"], first["volume_mm3"]) == (1, 0.95, 864.0)
    assert first["position_lps_mm"] == pytest.approx(case.image.TransformIndexToPhysicalPoint((40, 30, 10)), abs=1e-3)
    assert first["level"] == level_of(first["artery_mm"])
    assert len(manifest["findings"]) == 2
    assert manifest["models"][0]["sha256"] == "cd" * 32
    assert manifest["arguments"] == {"threshold": 0.5, "folds": ["0"]}
    assert manifest["settings"]["threshold"] == 0.5
    assert manifest["roi"]["box_zyx"][1] == [24, 60, 80]
    assert manifest["notes"] == [{"code": "PE-IN-004", "kind": "warning", "message": "a note, with a comma"}]
    assert manifest["versions"]["pe_nnunet"] == __version__
    assert {"python", "torch", "nnunetv2", "highdicom", "scipy"} <= set(manifest["versions"])
    assert manifest["system"]["processors"] >= 1
    assert manifest["files"] == {
        "emboli": "case_1.nii.gz",
        "table": "case_1_emboli.csv",
        "report": "case_1_report.html",
    }
    assert manifest["grid"]["spacing_mm_xyz"] == [1.5, 1.5, 2.0]


def test_what_was_fused_is_written_where_it_was_kept_and_leaves_with_the_result(
    case: CaseResult, tmp_path: Path
) -> None:
    box = tube_of([SliceBox(10, 28.0, 38.0, 33.0, 43.0, 0.75)], case.image.GetSize()[::-1])
    assert box is not None
    parts = replace(case, segmentation=case.probability, detections=Detections(None, (box,)))
    write_case(parts, tmp_path, QUICK - {"report"} | {"segmentation", "detections", "detections_table"})
    files = json.loads((tmp_path / "case_1.json").read_text(encoding="utf-8"))["files"]
    assert {files[kind] for kind in ("segmentation", "detections", "detections_table")} == {
        "case_1_segmentation_probability.nii.gz",
        "case_1_detections.json",
        "case_1_detections.csv",
    }
    assert read_detections(tmp_path / "case_1_detections.json").emboli == (box,)
    write_case(case, tmp_path, QUICK - {"report"})
    assert not list(tmp_path.glob("*_detections.*")) + list(tmp_path.glob("*_segmentation_*"))


def test_the_summary_of_a_written_case_is_read_back(case: CaseResult, tmp_path: Path) -> None:
    summary = write_case(case, tmp_path, QUICK)
    assert read_case_summary(tmp_path / "case_1.json") == summary
    assert summary.notes == ("PE-IN-004 warning: a note, with a comma",)


def test_a_negative_case(image: sitk.Image, tmp_path: Path) -> None:
    empty = find_emboli(np.zeros(image.GetSize()[::-1], np.float32), (2.0, 1.5, 1.5))
    summary = write_case(CaseResult("quiet", image, empty), tmp_path)
    assert (summary.pe_score, summary.emboli, summary.volume_mm3) == (0.0, 0, 0.0)
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "quiet.nii.gz"))).any()
    assert read_emboli_csv(tmp_path / "quiet_emboli.csv") == []


def test_without_its_manifest_a_case_is_not_complete(
    case: CaseResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(case, tmp_path, QUICK)

    def full(*_: object) -> None:
        raise OutputError("PE-OUT-001", "no space left")

    monkeypatch.setattr(overview_module, "write_overview", full)
    with pytest.raises(OutputError):
        write_case(case, tmp_path)
    assert not (tmp_path / "case_1.json").exists()
    with pytest.raises(InputError, match="PE-OUT-012"):
        read_case_summary(tmp_path / "case_1.json")


def test_parts_on_different_grids_are_refused(case: CaseResult) -> None:
    with pytest.raises(GeometryError, match=r"PE-GEO-001.*case_1"):
        CaseResult("case_1", case.image[:, :, :5], case.emboli)
    moved = sitk.Image(case.probability)
    moved.SetOrigin((0.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match=r"PE-GEO-002.*case_1"):
        CaseResult("case_1", case.image, case.emboli, moved)


def test_a_run_has_a_summary_and_a_list_of_errors(case: CaseResult, tmp_path: Path) -> None:
    summary = write_case(case, tmp_path, QUICK)
    with write_summary([summary], tmp_path).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "case": "case_1",
        "pe_score": "0.95",
        "emboli": "2",
        "volume_mm3": "945.000",
        "seconds": f"{summary.seconds:.2f}",
        "notes": "PE-IN-004 warning: a note, with a comma",
    }
    failures = [
        CaseFailure.of("a", InputError("PE-IN-003", "a.nii.gz is truncated", "copy it again")),
        CaseFailure.of("b", ValueError("two\nlines")),
    ]
    assert json.loads(write_errors(failures, tmp_path).read_text()) == [
        {"case": "a", "code": "PE-IN-003", "message": "a.nii.gz is truncated", "hint": "copy it again"},
        {"case": "b", "code": "PE-ENV-006", "message": "ValueError: two lines", "hint": ""},
    ]
    assert str(failures[0]) == "a: PE-IN-003: a.nii.gz is truncated; copy it again"
    assert json.loads(write_errors([], tmp_path).read_text()) == []


def test_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
