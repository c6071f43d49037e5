"""Bad inputs that only a whole conversion meets; `bad_inputs.csv` beside this file lists those of all rooms."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pe_nnunet import processes as memory
from pe_nnunet.cli import main
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.dataset_conversion import ConversionReport, ConvertOptions, convert
from pe_nnunet.dataset_conversion.labels import embolus_ids, parse_label_map
from pe_nnunet.errors import ConfigurationError, InputError, OutputError
from pe_nnunet.processes import case_process
from pe_nnunet.roi import find_lungs, scan_notes
from pe_nnunet.volumes import find_scans, image_like, read_scan, write_dicom_series, write_image

Draw = Callable[..., Any]


def converted(kind: str, src: Path, **settings: Any) -> ConversionReport:
    return convert(kind, src, 501, "PE", ConvertOptions(folds=2, **settings))


def write_study(folder: Path, drawn: Any) -> None:
    write_image(drawn.ct, folder / "ct.nii.gz")
    write_image(drawn.emboli, folder / "emboli.nii.gz")


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def note_codes(image: sitk.Image) -> list[str]:
    return [note.code for note in scan_notes(image, find_lungs(image).mask)]


@pytest.fixture
def two_series(tmp_path: Path, thorax: Any, draw: Draw) -> Path:
    """A folder `scans/a` that holds the scan and a reconstruction of fewer slices, and `scans/b` with one series."""
    for name, image in (("thin", thorax.ct), ("thick", thorax.ct[:, :, ::2])):
        write_dicom_series(image, tmp_path / name, patient_id="A", series_description=name, entropy=name)
    (tmp_path / "scans" / "a").mkdir(parents=True)
    study = pydicom.dcmread(next((tmp_path / "thin").iterdir())).StudyInstanceUID
    for file in sorted((tmp_path / "thin").iterdir()):
        shutil.copy(file, tmp_path / "scans" / "a" / f"thin{file.name}")
    for file in sorted((tmp_path / "thick").iterdir()):
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID = study
        dataset.save_as(tmp_path / "scans" / "a" / f"thick{file.name}")
    write_dicom_series(draw(1, seed=1).ct, tmp_path / "scans" / "b", patient_id="B")
    for case, emboli in (("a", thorax.emboli), ("b", draw(1, seed=1).emboli)):
        write_image(emboli, tmp_path / "labels" / f"{case}.nii.gz")
    return tmp_path / "scans"


@pytest.mark.parametrize("choice", ["--series-uid", "--pick"])
def test_4_one_of_several_series_is_taken_by_name_or_size(two_series: Path, nnunet: Path, choice: str) -> None:
    command = ["convert", "dicom", str(two_series), "-d", "501", "--labels", str(two_series.parent / "labels")]
    assert main(command) == 3
    assert list(load_cases(nnunet / "Dataset501_PE")) == ["b"]
    uid = pydicom.dcmread(next(two_series.glob("a/thin*"))).SeriesInstanceUID
    chosen = [choice, str(uid) if choice == "--series-uid" else "largest-ct"]
    assert main([*command, "--overwrite", *chosen]) == 0
    assert {case: record.embolus_count for case, record in load_cases(nnunet / "Dataset501_PE").items()} == {
        "a": 2,
        "b": 1,
    }


def test_4_slices_with_series_of_their_own_are_joined_and_kernels_told_apart_on_request(
    nnunet: Path, tmp_path: Path, thorax: Any
) -> None:
    """In one folder two reconstructions lie between one another, and each slice has a SeriesInstanceUID of its own."""
    folder = tmp_path / "src" / "a" / "ct"
    write_dicom_series(thorax.ct, folder, patient_id="a")
    write_image(thorax.emboli, tmp_path / "src" / "a" / "emboli.nii.gz")
    for k, file in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(file)
        dataset.SeriesInstanceUID, dataset.ConvolutionKernel = f"1.2.3.{k}", "B30f"
        dataset.save_as(file)
        dataset.ImagePositionPatient[2] = float(dataset.ImagePositionPatient[2]) + thorax.ct.GetSpacing()[2] / 2
        dataset.SeriesInstanceUID, dataset.ConvolutionKernel = f"1.2.4.{k}", "B70f"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.5.{k}"
        dataset.save_as(folder / f"sharp{file.name}")
    assert [error.code for error in converted("studies", tmp_path / "src").errors] == ["PE-DCM-033"]
    assert [e.code for e in converted("studies", tmp_path / "src", join_series=True).errors] == ["PE-DCM-005"]
    command = ["convert", "studies", str(tmp_path / "src"), "-d", "501"]
    assert main([*command, "--join-series", "--only", "ConvolutionKernel=b30f"]) == 0
    (record,) = load_cases(nnunet / "Dataset501_PE").values()
    assert record.embolus_count == 2
    assert "PE-DCM-034" in [note.code for note in record.notes]


def test_8_values_without_a_rescale_are_taken_for_hu_when_told(nnunet: Path, tmp_path: Path, thorax: Any) -> None:
    write_dicom_series(thorax.ct, tmp_path / "src" / "a" / "ct", patient_id="a")
    write_image(thorax.emboli, tmp_path / "src" / "a" / "emboli.nii.gz")
    for file in (tmp_path / "src" / "a" / "ct").iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.save_as(file)
    assert [error.code for error in converted("studies", tmp_path / "src").errors] == ["PE-DCM-009"]
    assert main(["convert", "studies", str(tmp_path / "src"), "-d", "501", "--assume-hu"]) == 0


@pytest.mark.parametrize("form", ["nifti", "nrrd", "dicom"])
def test_30_a_volume_larger_than_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, thorax: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    if form == "dicom":
        write_dicom_series(thorax.ct, tmp_path / "scan", patient_id="a")
        path, voxels = tmp_path / "scan", thorax.ct.GetNumberOfPixels()
        monkeypatch.setattr(memory, "free_bytes", lambda: voxels * memory.BYTES_PER_VOXEL - 1)
    elif form == "nifti":
        path = tmp_path / "scan.nii"
        header = nib.Nifti1Header()
        header.set_data_dtype(np.int16)
        header.set_data_shape((1024, 1024, 2000))
        path.write_bytes(header.binaryblock + bytes(4))  # says two thousand slices, and holds none
        monkeypatch.setattr(memory, "free_bytes", lambda: 8 << 30)
    else:
        path = tmp_path / "scan.nrrd"
        path.write_text("NRRD0004\ntype: short\nendian: little\ndimension: 3\nsizes: 1024 1024 2000\nencoding: raw\n\n")
        monkeypatch.setattr(memory, "free_bytes", lambda: 8 << 30)
    (ref,) = find_scans(path)
    with pytest.raises(InputError, match=r"PE-IN-006: .*voxels: reading it takes .* GiB of memory"):
        read_scan(ref)
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    if form == "dicom":
        read_scan(ref)


def test_30_what_is_free_is_the_less_of_machine_and_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    whole = memory.free_bytes()
    for name, text in {"max": "5000000", "current": "3000000", "stat": "anon 1\nfile 1000000"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory.free_bytes() == 3_000_000
    (tmp_path / "memory.max").write_text("max")
    assert (memory.free_bytes() is None) == (whole is None)


def test_31_a_label_map_says_which_values_are_emboli(nnunet: Path, tmp_path: Path, thorax: Any) -> None:
    organs = array(thorax.artery).astype(np.uint16) * 300
    organs[array(thorax.emboli) == 1] = 701
    organs[array(thorax.emboli) == 2] = 702
    write_image(thorax.ct, tmp_path / "scans" / "a.nii.gz")
    write_image(image_like(organs, thorax.ct), tmp_path / "labels" / "a.nii.gz")
    command = ["convert", "nifti", str(tmp_path / "scans"), "-d", "501", "--labels", str(tmp_path / "labels")]
    assert main(command) == 2  # PE-CONV-007: ids, or classes?
    assert main([*command, "--label-map", "701=1,702=2"]) == 0
    record = load_cases(nnunet / "Dataset501_PE")["a"]
    assert record.embolus_mm3 == {1: 1728.0, 2: 1728.0}


@pytest.mark.parametrize("text", ["", "1", "0=1", "a=1", "1=2,1=3", "70000=1", "1=70000"])
def test_31_a_label_map_that_is_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PE-CONV-004"):
        parse_label_map(text)


def test_31_many_values_are_ids_when_told_and_else_refused() -> None:
    mask = np.array([[[0, 255, 300]]], np.uint16)
    assert embolus_ids(mask, "instances")[0].tolist() == mask.tolist()
    with pytest.raises(InputError, match=r"PE-CONV-007.*--label-kind instances.*--label-map"):
        embolus_ids(mask, "auto")


def test_33_an_empty_label_is_a_negative_and_said(
    nnunet: Path, tmp_path: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path / "src" / "a", draw(0))
    assert main(["convert", "studies", str(tmp_path / "src"), "-d", "501"]) == 0
    assert "1 cases, 1 of them without emboli" in capsys.readouterr().out
    assert "PE-LBL-006" in (nnunet / "Dataset501_PE/pe_nnunet/report.csv").read_text()


def test_37_image_and_label_in_each_others_place(nnunet: Path, tmp_path: Path, thorax: Any) -> None:
    write_image(thorax.emboli, tmp_path / "src" / "a" / "ct.nii.gz")
    write_image(thorax.ct, tmp_path / "src" / "a" / "emboli.nii.gz")
    assert [error.code for error in converted("studies", tmp_path / "src").errors] == ["PE-HU-001"]


def test_38_lungs_at_the_edge_of_the_scan(thorax: Any) -> None:
    assert "PE-ROI-005" not in [note.code for note in find_lungs(thorax.ct).notes]
    (note,) = [note for note in find_lungs(thorax.ct[:, :, :24]).notes if note.code == "PE-ROI-005"]
    assert note.message == "the image cuts the lungs above"


@pytest.mark.parametrize(("vessel_hu", "noted"), [(320, False), (210, False), (160, True), (45, True)])
def test_39_no_contrast_or_a_late_phase(thorax: Any, vessel_hu: int, noted: bool) -> None:
    hu = array(thorax.ct)
    lit = array(thorax.artery) > 0
    hu[lit] += vessel_hu - int(np.median(hu[lit]))
    assert ("PE-CONV-029" in note_codes(image_like(hu, thorax.ct))) == noted


def test_39_a_real_scan_without_contrast(real_data: Path) -> None:
    assert "PE-CONV-029" in note_codes(sitk.ReadImage(str(real_data / "chest_ct64" / "ct-64.nrrd")))


@pytest.mark.parametrize(("slice_mm", "noted"), [(3.0, False), (3.1, True), (5.0, True)])
def test_40_thick_slices(thorax: Any, slice_mm: float, noted: bool) -> None:
    image = sitk.Image(thorax.ct)
    image.SetSpacing((4.0, 4.0, slice_mm))
    assert ("PE-CONV-030" in [note.code for note in scan_notes(image, None)]) == noted


def test_43_a_lock_that_a_dead_process_left_is_no_hindrance(studies: Path, nnunet: Path) -> None:
    (nnunet / ".Dataset501_PE.lock").write_text("")
    assert converted("studies", studies / "case_4").errors == ()


def test_44_a_folder_that_is_read_only(studies: Path, nnunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuse)  # permissions stop no superuser, whom tests may run as
    with pytest.raises(OutputError, match=r"PE-OUT-001.*Read-only file system"):
        converted("studies", studies / "case_4")


def test_44_no_home(studies: Path, nnunet: Path, fresh_python: Any) -> None:
    command = ["convert", "studies", str(studies / "case_4"), "-d", "501"]
    code = f"from pe_nnunet.cli import main; answer = main({command!r})"
    assert fresh_python(code, HOME="/no/such/home", nnUNet_raw=str(nnunet)) == 0


def test_44_no_room_for_worker_processes(studies: Path, nnunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(case_process, "_idle", [])
    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", full)
    with pytest.raises(ConfigurationError, match=r"PE-CONV-032.*ulimit"):
        converted("studies", studies, num_processes=2)
    assert list(nnunet.iterdir()) == []


NAMES = {
    "Spaces and (signs) 'x' \"y\"": "Spaces-and-signs-x-y",
    "Größe 東京": "Gr-e",
    "-rf": "rf",
    "dots.in.it_0000": "dots-in-it",
    "long" * 50: None,
}


def test_45_names_of_any_kind(nnunet: Path, tmp_path: Path, draw: Draw) -> None:
    for name in NAMES:
        write_image(draw(1).ct, tmp_path / "scans" / f"{name}.nii.gz")
        write_image(draw(1).emboli, tmp_path / "labels" / f"{name.removesuffix('_0000')}.nii.gz")
    report = converted("nifti", tmp_path / "scans", labels=str(tmp_path / "labels"))
    assert report.errors == ()
    long = next(case for case in report.cases if case.startswith("longlong"))
    assert len(long) == 120
    assert set(report.cases) == {case or long for case in NAMES.values()}


def test_46_names_that_are_one_id_once_cleaned(nnunet: Path, tmp_path: Path, draw: Draw) -> None:
    for name in ("Müller", "Möller"):
        write_study(tmp_path / "src" / name, draw(1))
    with pytest.raises(InputError, match="PE-IN-004"):
        converted("studies", tmp_path / "src")


def test_47_a_link_to_nothing_is_an_error_and_a_loop_is_not_followed(nnunet: Path, tmp_path: Path, draw: Draw) -> None:
    write_study(tmp_path / "src" / "a", draw(1))
    (tmp_path / "src" / "loop").symlink_to(tmp_path / "src", target_is_directory=True)
    (tmp_path / "src" / "gone").symlink_to(tmp_path / "unmounted" / "case_7", target_is_directory=True)
    report = converted("studies", tmp_path / "src")
    assert list(report.cases) == ["a"]
    assert [(error.case_id, error.code) for error in report.errors] == [("gone", "PE-CONV-033")]


@pytest.mark.parametrize("name", ["../case_1", "/etc/passwd", "case_1/../case_2"])
def test_47_lists_of_cases_name_no_paths(studies: Path, nnunet: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "list.txt").write_text(f"{name}\n")
    for option, code in (("--negatives", "PE-CONV-010"), ("--test", "PE-CONV-024")):
        command = ["convert", "studies", str(studies), "-d", "501", option, str(tmp_path / "list.txt")]
        assert main(command) == 2, code
    assert list(nnunet.iterdir()) == []


def test_48_archives_are_not_unpacked(nnunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "src").mkdir()
    with zipfile.ZipFile(tmp_path / "src" / "scans.zip", "w") as archive:
        archive.writestr("../escaped.nii.gz", b"x")
    before = sorted(tmp_path.rglob("*"))
    for src, code in (("src", "PE-IN-001"), ("src/scans.zip", "PE-IN-003")):
        assert main(["convert", "nifti", str(tmp_path / src), "-d", "501", "--labels", str(tmp_path)]) == 2
        assert code in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
