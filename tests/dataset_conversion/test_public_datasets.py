"""Each public dataset's layout, drawn small with its quirks, becomes the dataset that its scans and emboli say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy.io import savemat

from pe_nnunet.cli import main
from pe_nnunet.dataset_conversion import ConversionReport, ConvertOptions, convert, restore
from pe_nnunet.errors import ConfigurationError, InputError, PEError
from pe_nnunet.volumes import write_dicom_series, write_image

Draw = Callable[..., Any]


def converted(kind: str, src: Path, **settings: Any) -> ConversionReport:
    return convert(kind, src, 501, "PE", ConvertOptions(folds=2, **settings))


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def source_grid(report: ConversionReport, role: str, case: str) -> np.ndarray:
    """What was written for a case, back on the grid of its source."""
    assert report.dataset_folder is not None
    return array(restore(sitk.ReadImage(str(report.dataset_folder / role.format(case))), report.cases[case]))


def ids_of(report: ConversionReport, case: str) -> np.ndarray:
    return source_grid(report, "pe_nnunet/instances/{}.nii.gz", case)


def note_codes(report: ConversionReport, case: str) -> list[str]:
    return [note.code for note in report.cases[case].notes]


# FUMPE ----------------------------------------------------------------------------------------------------------------


def save_mask(path: Path, mask: np.ndarray, *, hdf5: bool = False, name: str = "Mask") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not hdf5:
        savemat(path, {name: mask})
        return
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = mask.T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_fumpe(root: Path, patient: str, drawn: Any, *, names: str, hdf5: bool = False, patient_id: str = "X") -> None:
    """A patient whose file names run with the positions, against them, or anyhow."""
    folder = root / "CT_scans" / patient
    write_dicom_series(drawn.ct, folder, patient_id=patient_id, entropy=patient)
    files = sorted(folder.iterdir())  # lowest slice first
    order = list(range(len(files)))
    if names == "reversed":
        order.reverse()
    elif names == "shuffled":
        order = np.random.default_rng(1).permutation(len(files)).tolist()
    for file, k in zip(files, order, strict=True):
        file.rename(folder / f"D{k + 1:04d}.dcm")
    by_name = np.empty_like(array(drawn.emboli))
    by_name[order] = array(drawn.emboli) > 0
    save_mask(root / "GroundTruth" / f"{patient}.mat", by_name.transpose(1, 2, 0), hdf5=hdf5)


@pytest.fixture(scope="module")
def fumpe(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    root = tmp_path_factory.mktemp("data") / "FUMPE"
    write_fumpe(root, "PAT001", draw(2, seed=1), names="as positions")
    write_fumpe(root, "PAT002", draw(3, seed=2), names="reversed", hdf5=True)
    write_fumpe(root, "PAT003", draw(1, seed=3), names="shuffled")
    write_fumpe(root, "PAT024", draw(0, seed=4), names="reversed")
    return root


def test_fumpe_masks_follow_the_file_names(fumpe: Path, nnunet: Path, draw: Draw) -> None:
    report = converted("fumpe", fumpe)
    assert report.errors == ()
    for k, (case, emboli) in enumerate({"PAT001": 2, "PAT002": 3, "PAT003": 1, "PAT024": 0}.items(), 1):
        assert np.array_equal(ids_of(report, case) > 0, array(draw(emboli, seed=k).emboli) > 0)
        assert report.cases[case].embolus_count == emboli
        assert ("PE-CONV-025" in note_codes(report, case)) == (case != "PAT001")
    assert {record.ids_from for record in report.cases.values()} == {"components"}


def test_fumpe_folders_are_patients_though_all_are_called_anonymous(fumpe: Path, nnunet: Path) -> None:
    report = converted("fumpe", fumpe)
    assert len({record.patient for record in report.cases.values()}) == 4


def test_a_part_of_a_dataset_is_told_from_the_whole(fumpe: Path, nnunet: Path) -> None:
    report = converted("fumpe", fumpe)
    (note,) = [note for note in report.notes if note.code == "PE-CONV-023"]
    assert "4 cases, 35 published" in note.message
    assert "192 slices, 8792 published" in note.message
    assert "6 emboli, 95 published" in note.message
    assert str(note) in json.loads((nnunet / "Dataset501_PE/pe_nnunet/cases.json").read_text())["notes"]


def test_replacement_labels_go_before_fumpes_own(fumpe: Path, nnunet: Path, tmp_path: Path, draw: Draw) -> None:
    for k, case in enumerate(("PAT001", "PAT002", "PAT003", "PAT024"), 1):
        write_image(draw(4, seed=k).emboli, tmp_path / "better" / f"{case}.nii.gz")
    report = converted("fumpe", fumpe, labels=str(tmp_path / "better"))
    assert [record.embolus_count for record in report.cases.values()] == [4, 4, 4, 4]
    assert "emboli" not in " ".join(note.message for note in report.notes if note.code == "PE-CONV-023")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda mat: mat.unlink(), "PE-CONV-005"),
        (lambda mat: mat.write_bytes(b"no MATLAB"), "PE-IN-003"),
        (lambda mat: mat.write_bytes(b""), "PE-IN-003"),
        (lambda mat: save_mask(mat, np.zeros((4, 4, 4)), name="Other"), "PE-MAT-001"),
        (lambda mat: save_mask(mat, np.zeros((4, 4, 4)), name="Other", hdf5=True), "PE-MAT-001"),
        (lambda mat: save_mask(mat, np.zeros((64, 64, 47), np.uint8)), "PE-GEO-001"),
        (lambda mat: save_mask(mat, np.zeros((64, 63, 48), np.uint8)), "PE-GEO-001"),
        (lambda mat: save_mask(mat, np.full((64, 64, 48), 0.5)), "PE-LBL-002"),
        (lambda mat: save_mask(mat, np.full((64, 64, 48), -1)), "PE-LBL-003"),
        (lambda mat: save_mask(mat, np.zeros((64, 64))), "PE-NII-001"),
    ],
)
def test_broken_matlab_masks(
    fumpe: Path, nnunet: Path, tmp_path: Path, spoil: Callable[[Path], None], code: str
) -> None:
    src = tmp_path / "src"
    for part in ("CT_scans/PAT001", "GroundTruth"):
        shutil.copytree(fumpe / part, src / part)
    spoil(src / "GroundTruth" / "PAT001.mat")
    assert [error.code for error in converted("fumpe", src).errors] == [code]


# CAD-PE ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cad_pe(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """Both namings of labels, ids with gaps and one embolus in two pieces, vessels with veins."""
    root = tmp_path_factory.mktemp("data") / "CAD-PE"
    for k, (case, label) in enumerate(
        {"001": "0001", "002": "002", "021": "0021", "e0032": "e0032", "e0040": "e0040"}.items()
    ):
        drawn = draw(0 if case == "002" else 4, seed=k)
        ids = np.array([0, 2, 5, 5, 9], np.int16)[array(drawn.emboli)]
        image = sitk.GetImageFromArray(ids)
        image.CopyInformation(drawn.ct)
        write_image(drawn.ct, root / "images" / f"{case}.nrrd")
        write_image(image, root / "rs" / f"{label}RefStd.nrrd")
        vein = array(drawn.artery)
        vein[20:22, 40:44, 30:34] = 2
        vessels = sitk.GetImageFromArray(vein)
        vessels.CopyInformation(drawn.ct)
        write_image(vessels, root / "vessel" / f"{case}.nii.gz")
        write_image(drawn.artery, root / "vessel" / f"{case}_lungmask.nii.gz")
    return root


def test_cad_pe_keeps_its_ids_and_takes_aanets_arteries(cad_pe: Path, nnunet: Path, draw: Draw) -> None:
    report = converted("cad-pe", cad_pe, scheme="artery-pe")
    assert report.errors == ()
    assert list(report.cases) == ["001", "002", "021", "e0032", "e0040"]
    for case, record in report.cases.items():
        assert record.ids_from == "source"
        assert list(record.embolus_mm3) == ([] if case == "002" else [2, 5, 9])
    drawn = draw(4, seed=0)
    assert np.array_equal(ids_of(report, "001"), np.array([0, 2, 5, 5, 9])[array(drawn.emboli)])
    artery = source_grid(report, "pe_nnunet/arteries/{}.nii.gz", "001")
    assert np.array_equal(artery, array(drawn.artery))


def test_cad_pe_published_test_set(cad_pe: Path, nnunet: Path) -> None:
    assert main(["convert", "cad-pe", str(cad_pe), "-d", "501", "--test", "published", "--folds", "2"]) == 0
    folder = nnunet / "Dataset501_PE"
    assert [p.name for p in (folder / "imagesTs").iterdir()] == ["021_0000.nii.gz"]
    assert [p.name for p in (folder / "labelsTs").iterdir()] == ["021.nii.gz"]
    assert not (folder / "imagesTr" / "021_0000.nii.gz").exists()
    assert (folder / "pe_nnunet/instances/021.nii.gz").is_file()
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 4
    assert "021" not in (folder / "splits_final.json").read_text()
    assert json.loads((folder / "pe_nnunet/cases.json").read_text())["cases"]["021"]["test"] is True


def test_two_labels_of_one_cad_pe_case_are_refused(cad_pe: Path, nnunet: Path, tmp_path: Path) -> None:
    shutil.copytree(cad_pe, tmp_path / "src")
    shutil.copy(cad_pe / "rs/0001RefStd.nrrd", tmp_path / "src/rs/001RefStd.nrrd")
    assert [(e.case_id, e.code) for e in converted("cad-pe", tmp_path / "src").errors] == [("001", "PE-CONV-006")]


# READ -----------------------------------------------------------------------------------------------------------------

DISTRIBUTIONS = {
    "official": (
        "CT scans (DICOM files)/{group} (DICOM files)/{case}",
        "Ground truth (pixel level segmentation - NiFTI files)/{group} (NiFTI files)/{case}.nii.gz",
    ),
    "other": ("images/{case}", "rs/{case}.nii.gz"),
}


@pytest.mark.parametrize("distribution", list(DISTRIBUTIONS))
def test_read_masks_are_laid_on_by_index(nnunet: Path, tmp_path: Path, draw: Draw, distribution: str) -> None:
    scan, mask = DISTRIBUTIONS[distribution]
    for k, (group, case) in enumerate((("GE", "01GE"), ("TOSHIBA", "01TS"), ("TOSHIBA", "02TS"))):
        drawn = draw(k + 1, seed=k)
        write_dicom_series(drawn.ct, tmp_path / scan.format(group=group, case=case), patient_id="anonymous")
        label = sitk.Cast(drawn.emboli > 0, sitk.sitkFloat64)  # as the files have it: slices downwards, z rounded
        label.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
        label.SetSpacing((4.0, 4.0, 5.0))
        write_image(label, tmp_path / mask.format(group=group, case=case))
    report = converted("read", tmp_path)
    assert report.errors == ()
    assert list(report.cases) == ["01GE", "01TS", "02TS"]
    for k, case in enumerate(report.cases):
        assert np.array_equal(ids_of(report, case) > 0, array(draw(k + 1, seed=k).emboli) > 0)
        assert "PE-CONV-025" in note_codes(report, case)
    assert len({record.patient for record in report.cases.values()}) == 3


def test_read_mask_of_another_size_is_refused(nnunet: Path, tmp_path: Path, draw: Draw) -> None:
    write_dicom_series(draw(1).ct, tmp_path / "images/01GE", patient_id="a")
    write_image(sitk.Crop(draw(1).emboli, (0, 0, 1)), tmp_path / "rs/01GE.nii.gz")
    assert [error.code for error in converted("read", tmp_path).errors] == ["PE-GEO-001"]


# PARSE ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parse(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    root = tmp_path_factory.mktemp("data") / "PARSE"
    for k, case in enumerate(("PA000005", "PA000016")):
        drawn = draw(k + 1, seed=k)
        write_image(drawn.ct, root / "train" / case / "image" / f"{case}.nii.gz")
        write_image(drawn.artery, root / "train" / case / "label" / f"{case}.nii.gz")
        write_image(drawn.emboli, root.parent / "emboli" / f"{case}.nii.gz")
    return root


def test_parse_gives_arteries_and_calls_no_scan_free_of_emboli(parse: Path, nnunet: Path, draw: Draw) -> None:
    report = converted("parse", parse, scheme="artery")
    assert report.errors == ()
    assert report.notes == ()
    assert {record.ids_from for record in report.cases.values()} == {"none"}
    assert np.array_equal(source_grid(report, "labelsTr/{}.nii.gz", "PA000005"), array(draw(1).artery))
    content = json.loads((nnunet / "Dataset501_PE/dataset.json").read_text())
    assert content["labels"] == {"background": 0, "artery": 1}


def test_parse_needs_emboli_for_the_other_schemes(parse: Path, nnunet: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-CONV-004.*--scheme artery"):
        converted("parse", parse)
    report = converted("parse", parse, scheme="artery-pe", labels=str(parse.parent / "emboli"))
    assert [record.embolus_count for record in report.cases.values()] == [1, 2]


# RSPECT ---------------------------------------------------------------------------------------------------------------

HEADING = "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe,indeterminate"


def write_rspect(root: Path, draw: Draw, *, heading: str = HEADING, end: str = "\r\n", bom: str = "\ufeff") -> Path:
    """Two negative studies, a positive one, one that is indeterminate, one that was not downloaded."""
    rows = [heading]
    for k, (study, verdict) in enumerate(
        {"n1": "0,1,0", "n2": "0,1,0", "p1": "1,0,0", "i1": "0,1,1", "gone": "0,1,0"}.items()
    ):
        folder = root / "train" / study / f"series{k}"
        if study != "gone":
            write_dicom_series(draw(1 if study == "p1" else 0, seed=k).ct, folder, patient_id=study)
        rows += [f"{study},series{k},slice{n},{verdict}" for n in range(3)]
    delimiter = ";" if ";" in heading else ","
    text = bom + end.join(row.replace(",", delimiter) for row in rows) + end
    (root / "train.csv").write_bytes(text.encode())
    return root


@pytest.mark.parametrize("form", [{}, {"heading": HEADING.replace(",", ";"), "end": "\n", "bom": ""}])
def test_rspect_gives_its_negatives(nnunet: Path, tmp_path: Path, draw: Draw, form: dict[str, str]) -> None:
    report = converted("rspect", write_rspect(tmp_path, draw, **form))
    assert report.errors == ()
    assert list(report.cases) == ["n1", "n2"]
    assert not ids_of(report, "n1").any()


def test_rspect_takes_masks_that_others_drew(nnunet: Path, tmp_path: Path, draw: Draw) -> None:
    src = write_rspect(tmp_path / "src", draw)
    write_image(draw(1, seed=2).emboli, tmp_path / "masks" / "p1.nii.gz")
    report = converted("rspect", src, labels=str(tmp_path / "masks"))
    assert {case: record.embolus_count for case, record in report.cases.items()} == {"n1": 0, "n2": 0, "p1": 1}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "PE-IN-002"),
        ("StudyInstanceUID,indeterminate\nn1,0\n", "PE-CONV-027"),
        (f"{HEADING}\nn1,s,i,0\n", "PE-CONV-027"),
        (f"{HEADING}\nn1,s,i,0,1,0\nn1,s,j,0,0,0\n", "PE-CONV-027"),
        ("", "PE-CONV-027"),
    ],
)
def test_rspect_tables_that_cannot_be_used(
    nnunet: Path, tmp_path: Path, draw: Draw, content: str | None, code: str
) -> None:
    (tmp_path / "train").mkdir()
    if content is not None:
        (tmp_path / "train.csv").write_text(content)
    with pytest.raises(InputError, match=code):
        converted("rspect", tmp_path)


# All ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fumpe", "cad-pe", "read", "rspect", "parse"])
def test_another_folder_is_told_from_the_dataset(kind: str, nnunet: Path, tmp_path: Path) -> None:
    (tmp_path / "src" / "whatever").mkdir(parents=True)
    scheme = ["--scheme", "artery"] if kind == "parse" else []
    for src in ("src", "nowhere"):
        assert main(["convert", kind, str(tmp_path / src), "-d", "501", *scheme]) == 2
    assert list(nnunet.iterdir()) == []


def test_a_patient_in_training_and_test_is_refused(studies: Path, nnunet: Path) -> None:
    with pytest.raises(PEError, match=r"PE-CONV-024.*case_3"):
        converted("studies", studies, test=frozenset({"case_3"}))  # case_0 is of the same patient
    assert not (nnunet / "Dataset501_PE").exists()
    report = converted("studies", studies, test=frozenset({"case_0", "case_3"}), resume=True)
    assert report.reused >= {"case_1", "case_2", "case_3", "case_4", "case_5"}


def test_a_scan_under_two_names_is_of_one_patient(nnunet: Path, tmp_path: Path, draw: Draw) -> None:
    for case, seed in (("a", 1), ("b", 2), ("copy-of-a", 1)):
        write_image(draw(1, seed=seed).ct, tmp_path / "src" / case / "ct.nii.gz")
        write_image(draw(1, seed=seed).emboli, tmp_path / "src" / case / "emboli.nii.gz")
    report = converted("studies", tmp_path / "src")
    (note,) = [note for note in report.notes if note.code == "PE-CONV-038"]
    assert "a = copy-of-a" in note.message
    splits = json.loads((nnunet / "Dataset501_PE/splits_final.json").read_text())
    assert sorted(fold["val"] for fold in splits) == [["a", "copy-of-a"], ["b"]]
    with pytest.raises(ConfigurationError, match=r"PE-CONV-024.*copy-of-a"):
        converted("studies", tmp_path / "src", test=frozenset({"copy-of-a"}), overwrite=True)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"test": frozenset({"case_9"})}, "case_9"),
        ({"test": frozenset(f"case_{k}" for k in range(6))}, "every case"),
        ({"published_test": True}, "no published test set"),
    ],
)
def test_test_sets_that_cannot_be(studies: Path, nnunet: Path, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PE-CONV-024.*{match}"):
        converted("studies", studies, **settings)


def test_test_cases_of_ones_own_stay_and_converted_ones_move(studies: Path, nnunet: Path) -> None:
    folder = nnunet / "Dataset501_PE"
    converted("studies", studies, test=frozenset({"case_1"}))
    (folder / "imagesTs" / "mine_0000.nii.gz").write_text("mine")
    converted("studies", studies, test=frozenset({"case_2"}), resume=True)
    assert {p.name for p in (folder / "imagesTs").iterdir()} == {"case_2_0000.nii.gz", "mine_0000.nii.gz"}
    converted("studies", studies, overwrite=True)
    assert {p.name for p in (folder / "imagesTs").iterdir()} == {"mine_0000.nii.gz"}
    assert not (folder / "labelsTs").exists()


def test_dicom_headers_of_the_tests_are_sound(fumpe: Path) -> None:
    heights = [float(pydicom.dcmread(f).ImagePositionPatient[2]) for f in sorted((fumpe / "CT_scans/PAT002").iterdir())]
    assert heights == sorted(heights, reverse=True)  # names against positions, as the quirk has it
