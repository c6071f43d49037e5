from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

from pe_nnunet.cli import main
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.dataset_conversion import ConversionReport, ConvertOptions, convert, restore
from pe_nnunet.errors import ConfigurationError, InputError, PEError
from pe_nnunet.volumes import read_scan, write_dicom_series, write_image
from tests.conftest import run_nnunet_here


def converted(kind: str, src: Path | str, **settings: Any) -> ConversionReport:
    return convert(kind, Path(src), 501, "PE", ConvertOptions(**settings))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Any]) -> Path:
    """`images/` and `labels/` of four volumes, the labels binary; DICOM of the same in `dicom/`. Read only."""
    root = tmp_path_factory.mktemp("pairs")
    for k, suffix in enumerate((".nii.gz", ".nrrd", ".mha", ".nii")):
        drawn = draw(k, seed=k)
        write_image(drawn.ct, root / "images" / f"case {k}{suffix}")
        write_image(drawn.emboli > 0, root / "labels" / f"case {k}.nii.gz")
        write_image(drawn.artery + 2 * (drawn.artery == 0), root / "vessels" / f"case-{k}" / "v.nii.gz")
        write_dicom_series(drawn.ct, root / "dicom" / f"case {k}" / "series", patient_id=f"Name^{k}")
    return root


def test_studies_become_a_dataset_that_nnunet_accepts(
    studies: Path, nnunet: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = converted("studies", studies, folds=3, scheme="artery-pe")
    folder = nnunet / "Dataset501_PE"
    assert report.dataset_folder == folder
    assert report.errors == ()
    assert [record.embolus_count for record in report.cases.values()] == [1, 2, 0, 3, 4, 0]
    assert load_cases(folder) == report.cases
    assert {p.name for p in nnunet.iterdir()} == {"Dataset501_PE"}
    assert {p.name for p in folder.iterdir()} == {
        "dataset.json", "imagesTr", "labelsTr", "pe_nnunet", "splits_final.json"
    }  # fmt: skip
    assert {p.name for p in (folder / "pe_nnunet").iterdir()} == {
        "arteries", "cases.json", "errors.json", "instances", "lungs", "report.csv", "sheets", "sheets.html"
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        run_nnunet_here(patch)
        verify_dataset_integrity(str(folder), num_processes=1)
    assert "mismatch" not in capfd.readouterr().out

    content = json.loads((folder / "dataset.json").read_text())
    assert content["numTraining"] == 6
    assert list(content["labels"]) == ["background", "artery", "PE"]


def test_splits_keep_the_patient_of_two_scans_together(studies: Path, nnunet: Path) -> None:
    report = converted("studies", studies, folds=5)
    assert report.cases["case_0"].patient == report.cases["case_3"].patient
    splits = json.loads((nnunet / "Dataset501_PE" / "splits_final.json").read_text())
    assert len(splits) == 5
    assert sum({"case_0", "case_3"} <= set(fold["val"]) for fold in splits) == 1
    assert "PE-CONV-020" in [note.code for note in report.notes]  # five patients, of which three have emboli


def test_report_csv_is_a_table_of_the_cases(studies: Path, nnunet: Path) -> None:
    report = converted("studies", studies)
    rows = list(csv.DictReader((nnunet / "Dataset501_PE/pe_nnunet/report.csv").open(encoding="utf-8")))
    assert [row["case"] for row in rows] == list(report.cases)
    assert [int(row["emboli"]) for row in rows] == [1, 2, 0, 3, 4, 0]
    assert {row["size_xyz"] for row in rows} == {"64x64x48"}
    assert {row["validation_fold"] for row in rows} == set("01234")
    for row in rows:
        ratios = [float(ratio) for ratio in row["embolus_target_ratios_after"].split()]
        assert len(ratios) == int(row["emboli"])
        assert sum(ratios) == pytest.approx(float(row["target_ratio_after"]), rel=0.02)


def test_nothing_of_the_patient_or_the_machine_is_written(pairs: Path, nnunet: Path) -> None:
    report = converted("dicom", pairs / "dicom", labels=str(pairs / "labels"))
    written = [p for p in (nnunet / "Dataset501_PE").rglob("*") if p.is_file()]
    texts = "\n".join(p.read_text() for p in written if p.suffix in {".json", ".csv"})
    assert "Name" not in texts
    assert str(pairs) not in texts
    assert report.cases["case-1"].source == "case 1/series"
    assert len({record.patient for record in report.cases.values()}) == 4


@pytest.mark.parametrize(
    ("kind", "src", "labels"),
    [
        ("nifti", "images", "labels"),
        ("dicom", "dicom", "labels"),
        ("nifti", "images/{case}.n*", "labels"),
        ("dicom", "dicom/{case}/series", "labels"),
    ],
)
def test_volumes_and_series_with_masks_beside_them(
    pairs: Path, nnunet: Path, draw: Callable[..., Any], kind: str, src: str, labels: str
) -> None:
    report = converted(kind, pairs / src, labels=str(pairs / labels))
    assert report.errors == ()
    assert set(report.cases) == {"case-0", "case-1", "case-2", "case-3"} - ({"case-2"} if "{case}.n" in src else set())
    for case, record in report.cases.items():
        k = int(case[-1])
        assert record.embolus_count == k
        assert record.ids_from == "components"
        image = sitk.ReadImage(str(nnunet / f"Dataset501_PE/imagesTr/{case}_0000.nii.gz"))
        assert np.array_equal(
            sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(draw(k, seed=k).ct)[record.box.slices]
        )


def test_arteries_are_value_1_of_a_vessel_mask(pairs: Path, nnunet: Path, draw: Callable[..., Any]) -> None:
    report = converted("nifti", pairs / "images", labels=str(pairs / "labels"), artery=str(pairs / "vessels"))
    artery = sitk.ReadImage(str(nnunet / "Dataset501_PE/pe_nnunet/arteries/case-1.nii.gz"))
    expected = sitk.GetArrayFromImage(draw(1).artery)[report.cases["case-1"].box.slices]
    assert np.array_equal(sitk.GetArrayFromImage(artery), expected)


def test_failing_cases_do_not_stop_the_others(
    studies: Path,
    nnunet: Path,
    tmp_path: Path,
    thorax: Any,
    draw: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    src = tmp_path / "src"
    shutil.copytree(studies, src)
    (src / "case_0" / "emboli.nii.gz").unlink()
    (src / "case_1" / "ct.nii.gz").write_text("not an image")
    write_image(sitk.Crop(thorax.emboli, (1, 0, 0)), src / "case_2" / "emboli.nrrd")
    abdomen = draw(1, lungs=False)
    write_image(abdomen.ct, src / "abdomen" / "ct.nii.gz")
    write_image(abdomen.emboli, src / "abdomen" / "emboli.nii.gz")
    write_image(abdomen.emboli, src / "scanless" / "emboli.nii.gz")
    moved = draw(1).emboli
    moved.SetOrigin((0, 0, 0))
    write_image(draw(1).ct, src / "moved" / "ct.mha")
    write_image(moved, src / "moved" / "emboli.mha")

    assert main(["convert", "studies", str(src), "-d", "501"]) == 3
    assert set(load_cases(nnunet / "Dataset501_PE")) == {"case_3", "case_4", "case_5"}
    errors = json.loads((nnunet / "Dataset501_PE/pe_nnunet/errors.json").read_text())
    assert {error["case"]: error["code"] for error in errors} == {
        "abdomen": "PE-ROI-001",
        "case_0": "PE-CONV-005",
        "case_1": "PE-IN-003",
        "case_2": "PE-GEO-001",
        "moved": "PE-GEO-002",
        "scanless": "PE-CONV-009",
    }
    lines = capsys.readouterr().err.splitlines()
    for error in errors:
        assert sum(line.startswith(f"{error['case']}: {error['code']}: ") for line in lines) == 1


def test_negatives_need_no_label_and_must_have_no_embolus(studies: Path, nnunet: Path, tmp_path: Path) -> None:
    src = tmp_path / "src"
    shutil.copytree(studies, src)
    (src / "case_2" / "emboli.nrrd").unlink()
    report = converted("studies", src, negatives=frozenset({"case_2", "case_4"}))
    assert report.cases["case_2"].embolus_count == 0
    assert [(error.case_id, error.code) for error in report.errors] == [("case_4", "PE-CONV-010")]
    with pytest.raises(ConfigurationError, match=r"PE-CONV-010.*case_9"):
        converted("studies", src, negatives=frozenset({"case_9"}), overwrite=True)


def test_negatives_from_a_file(pairs: Path, nnunet: Path, tmp_path: Path) -> None:
    listed = tmp_path / "negatives.txt"
    listed.write_bytes("\ufeff# these have none\r\ncase-0\r\n\r\ncase-1  # sure\r\n".encode())
    code = main(["convert", "nifti", str(pairs / "images"), "-d", "501", "--negatives", str(listed)])
    assert code == 3
    assert set(load_cases(nnunet / "Dataset501_PE")) == {"case-0", "case-1"}


def test_when_no_case_can_be_converted_nothing_is_written(studies: Path, nnunet: Path, tmp_path: Path) -> None:
    for case in ("a", "b"):
        (tmp_path / "src" / case).mkdir(parents=True)
        (tmp_path / "src" / case / "ct.nii.gz").write_text("no image")
        (tmp_path / "src" / case / "emboli.nii.gz").write_text("no image")
    assert main(["convert", "studies", str(tmp_path / "src"), "-d", "501"]) == 2
    assert list(nnunet.iterdir()) == []


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def with_text(folder: Path) -> Path:
    folder.mkdir()
    (folder / "readme.txt").write_text("no image")
    return folder


def fake_volume(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.nii.gz").write_text("no image")
    return folder


@pytest.mark.parametrize("kind", ["studies", "dicom", "nifti"])
@pytest.mark.parametrize("make", [empty, with_text, lambda folder: folder])
def test_a_source_without_cases(kind: str, make: Callable[[Path], Path], nnunet: Path, tmp_path: Path) -> None:
    masks = [] if kind == "studies" else ["--labels", str(empty(tmp_path / "masks"))]
    assert main(["convert", kind, str(make(tmp_path / "src")), "-d", "501", *masks]) == 2
    assert list(nnunet.iterdir()) == []


def test_text_named_as_a_volume(nnunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = fake_volume(tmp_path / "src")
    assert main(["convert", "nifti", str(src), "-d", "501", "--labels", str(src)]) == 2
    lone = ["convert", "nifti", str(src / "a.nii.gz"), "-d", "501", "--labels", str(fake_volume(tmp_path / "masks"))]
    assert main(lone) == 2
    assert "PE-IN-003" in capsys.readouterr().err
    assert list(nnunet.iterdir()) == []


def test_unset_variable_and_taken_id(studies: Path, nnunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nnunet / "Dataset501_Other").mkdir()
    with pytest.raises(ConfigurationError, match="PE-ENV-003"):
        converted("studies", studies)
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(ConfigurationError, match="PE-ENV-001"):
        converted("studies", studies)


@pytest.mark.parametrize(
    ("kind", "settings", "code"),
    [
        ("nifti", {}, "PE-CONV-004"),
        ("fumpe2", {}, "PE-CONV-004"),
        ("dicom", {"labels": "/no/such/folder"}, "PE-IN-002"),
    ],
)
def test_contradictory_settings(pairs: Path, nnunet: Path, kind: str, settings: dict[str, str], code: str) -> None:
    with pytest.raises(PEError, match=code):
        converted(kind, pairs / "images", **settings)
    assert list(nnunet.iterdir()) == []


def test_masks_among_the_scans_are_told_apart_by_patterns(nnunet: Path, tmp_path: Path, thorax: Any) -> None:
    for case in ("P1", "P 2"):
        write_image(thorax.ct, tmp_path / "data" / case / "image.nii.gz")
        write_image(thorax.emboli, tmp_path / "data" / case / "label.nii.gz")
    label = f"{tmp_path}/data/{{case}}/label.nii.gz"
    with pytest.raises(ConfigurationError, match=r"PE-CONV-004.*patterns"):
        converted("nifti", tmp_path / "data", labels=label)
    assert set(converted("nifti", tmp_path / "data/{case}/image.nii.gz", labels=label).cases) == {"P1", "P-2"}


def test_masks_in_the_folders_of_dicom_series(nnunet: Path, tmp_path: Path, draw: Callable[..., Any]) -> None:
    for k in (1, 2):
        write_dicom_series(draw(k).ct, tmp_path / "data" / f"P{k}" / "series", patient_id=f"P{k}")
        write_image(draw(k).emboli, tmp_path / "data" / f"P{k}" / "label.nii.gz")
    report = converted("dicom", tmp_path / "data/{case}/series", labels=str(tmp_path / "data"))
    assert {case: record.embolus_count for case, record in report.cases.items()} == {"P1": 1, "P2": 2}


def test_a_pattern_that_takes_masks_for_scans_is_refused(nnunet: Path, tmp_path: Path, thorax: Any) -> None:
    for name in ("a", "a_label"):
        write_image(thorax.ct, tmp_path / f"{name}.nii.gz")
    with pytest.raises(ConfigurationError, match=r"PE-CONV-004.*a_label.*patterns"):
        converted("nifti", tmp_path, labels=f"{tmp_path}/{{case}}_label.nii.gz")


def test_one_bad_match_of_a_pattern_fails_alone(nnunet: Path, tmp_path: Path, thorax: Any) -> None:
    write_dicom_series(thorax.ct, tmp_path / "data" / "a" / "ct", patient_id="a")
    (tmp_path / "data" / "b" / "ct").mkdir(parents=True)
    write_image(thorax.emboli, tmp_path / "labels" / "a.nii.gz")
    report = converted("dicom", tmp_path / "data/{case}/ct", labels=str(tmp_path / "labels"))
    assert list(report.cases) == ["a"]
    assert [(error.case_id, error.code) for error in report.errors] == [("b", "PE-IN-001")]


def test_artery_scheme_without_arteries_fails_the_case(pairs: Path, nnunet: Path) -> None:
    report = converted("nifti", pairs / "images", labels=str(pairs / "labels"), scheme="artery-pe")
    assert report.dataset_folder is None
    assert {error.code for error in report.errors} == {"PE-CONV-008"}


def test_stop_at_the_first_error_keeps_what_is_done(studies: Path, nnunet: Path, tmp_path: Path) -> None:
    src = tmp_path / "src"
    shutil.copytree(studies, src)
    (src / "case_1" / "ct.nii.gz").write_text("not an image")
    with pytest.raises(InputError, match=r"PE-CONV-021.*case_1: PE-IN-003"):
        converted("studies", src, on_error="stop")
    assert not (nnunet / "Dataset501_PE").exists()
    shutil.copy(studies / "case_1" / "ct.nii.gz", src / "case_1" / "ct.nii.gz")
    report = converted("studies", src, on_error="stop", resume=True)
    assert report.reused == {"case_0"}
    assert len(report.cases) == 6


def test_stopped_before_the_first_case_nothing_is_left(studies: Path, nnunet: Path, tmp_path: Path) -> None:
    shutil.copytree(studies / "case_1", tmp_path / "src" / "case_1")
    (tmp_path / "src" / "case_1" / "ct.nii.gz").write_text("not an image")
    with pytest.raises(InputError, match="PE-CONV-021"):
        converted("studies", tmp_path / "src", on_error="stop")
    assert list(nnunet.iterdir()) == []


def test_one_study_folder_is_a_source_too(studies: Path, nnunet: Path) -> None:
    report = converted("studies", studies / "case_4")
    assert list(report.cases) == ["case_4"]
    assert not (nnunet / "Dataset501_PE" / "splits_final.json").exists()
    assert [note.code for note in report.notes] == ["PE-CONV-020"]


@pytest.mark.parametrize("code", ["LAS", "RPS", "LPI", "PSL"])
def test_a_mask_with_other_axes_on_the_same_grid_is_turned(
    nnunet: Path, tmp_path: Path, thorax: Any, code: str
) -> None:
    write_dicom_series(thorax.ct, tmp_path / "src" / "a" / "ct", patient_id="a")
    write_image(sitk.DICOMOrient(thorax.emboli, code), tmp_path / "src" / "a" / "emboli.nii.gz")
    report = converted("studies", tmp_path / "src")
    record = report.cases["a"]
    assert "PE-CONV-022" in [note.code for note in record.notes]
    label = sitk.ReadImage(str(nnunet / "Dataset501_PE" / "pe_nnunet" / "instances" / "a.nii.gz"))
    drawn = sitk.GetArrayFromImage(thorax.emboli)[record.box.slices]
    assert np.array_equal(sitk.GetArrayFromImage(label), drawn)


@pytest.mark.parametrize("suffix", ["dcm", ".nii.gz", ".nrrd"])
def test_an_oblique_turned_scan_goes_back_onto_its_own_grid(
    nnunet: Path, tmp_path: Path, thorax: Any, suffix: str
) -> None:
    tilt = np.array(sitk.Euler3DTransform((0, 0, 0), 0.1, -0.15, 0.2).GetMatrix()).reshape(3, 3)

    def oblique(image: sitk.Image) -> sitk.Image:
        turned = sitk.DICOMOrient(image, "PSL" if suffix == "dcm" else "ASR")
        turned.SetDirection((tilt @ np.array(turned.GetDirection()).reshape(3, 3)).ravel())
        return turned

    turned, folder = thorax.moved(oblique), tmp_path / "src" / "a"
    if suffix == "dcm":
        write_dicom_series(turned.ct, folder / "ct", patient_id="a")
    else:
        write_image(turned.ct, folder / f"ct{suffix}")
    write_image(turned.emboli, folder / "emboli.nrrd")
    record = converted("studies", tmp_path / "src").cases["a"]
    dataset = nnunet / "Dataset501_PE"

    ids = sitk.ReadImage(str(dataset / "pe_nnunet" / "instances" / "a.nii.gz"))
    assert np.diag(np.array(ids.GetDirection()).reshape(3, 3)).min() > 0.9  # axes near left, posterior, superior
    back = restore(ids, load_cases(dataset)["a"])
    assert back.GetSize() == turned.ct.GetSize()
    assert back.GetDirection() == pytest.approx(turned.ct.GetDirection(), abs=1e-5)
    assert back.GetOrigin() == pytest.approx(turned.ct.GetOrigin(), abs=1e-3)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(turned.emboli))
    first = ids.TransformIndexToPhysicalPoint((0, 0, 0))
    inside = turned.ct.TransformPhysicalPointToContinuousIndex(first)
    assert inside == pytest.approx(np.rint(inside), abs=1e-3)  # the crop's voxels lie where the source's do
    assert record.embolus_mm3 == pytest.approx({1: 27 * 64.0, 2: 27 * 64.0}, rel=1e-4)


def test_the_crop_reads_back_as_a_scan(studies: Path, nnunet: Path) -> None:
    from pe_nnunet.volumes import find_scans

    converted("studies", studies)
    refs = find_scans(nnunet / "Dataset501_PE" / "imagesTr")
    assert [ref.case_id for ref in refs] == [f"case_{k}" for k in range(6)]
    assert read_scan(refs[0]).image.GetPixelID() == sitk.sitkInt16


def test_a_folder_of_links_to_studies_is_converted_under_the_links_names(
    studies: Path, nnunet: Path, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    names = sorted(path.name for path in studies.iterdir() if path.is_dir())[:2]
    for name in names:
        (links / f"my_{name}").symlink_to(studies / name, target_is_directory=True)
    report = converted("studies", links)
    assert sorted(report.cases) == [f"my_{name}" for name in names]
