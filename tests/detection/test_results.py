from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.cli import main
from pe_nnunet.dataset.raw import case_file
from pe_nnunet.detection import Detections, SliceBox, load_detector
from pe_nnunet.detection.box_tubes import tube_of
from pe_nnunet.detection.locate import fold_folders
from pe_nnunet.detection.results import box_on_own_grid, lps_extent, read_detections, write_detections
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.volumes import to_lps, write_dicom_series
from pe_nnunet.voxels import Box

if TYPE_CHECKING:
    from tests.detection.conftest import Training
else:
    Training = Any

ORIENTATIONS = ("LPS", "RAS", "ASL", "PIR", "SRA", "LAI")


def oriented(orientation: str, size: tuple[int, int, int] = (7, 9, 11)) -> sitk.Image:
    image = sitk.Image(*size, sitk.sitkInt16)
    image.SetSpacing((0.7, 1.1, 2.0))
    image.SetOrigin((-5.0, 3.0, 40.0))
    image.SetDirection(sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(orientation))
    return image


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ORIENTATIONS), st.data())
def test_a_box_holds_the_same_voxels_on_the_scans_own_grid(orientation: str, data: st.DataObject) -> None:
    image = oriented(orientation)
    shape = to_lps(image).GetSize()[::-1]
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    own = box_on_own_grid(box, image)
    marked = np.zeros(image.GetSize()[::-1], np.int16)
    marked[own.slices] = 1
    mask = sitk.GetImageFromArray(marked)
    mask.CopyInformation(image)
    expected = np.zeros(shape, np.int16)
    expected[box.slices] = 1
    assert np.array_equal(sitk.GetArrayFromImage(to_lps(mask)), expected)
    ours, theirs = lps_extent(own, image), lps_extent(box, to_lps(image))
    assert np.array(ours) == pytest.approx(np.array(theirs), abs=1e-6)


def test_the_extent_reaches_to_the_edges_of_the_voxels() -> None:
    centre, least, greatest = lps_extent(Box((1, 2, 3), (2, 4, 6)), oriented("LPS"))
    assert least == pytest.approx([-5 + 2.5 * 0.7, 3 + 1.5 * 1.1, 40 + 0.5 * 2.0])
    assert greatest == pytest.approx([-5 + 5.5 * 0.7, 3 + 3.5 * 1.1, 40 + 1.5 * 2.0])
    assert centre == pytest.approx((np.array(least) + greatest) / 2)


def test_detections_are_written_for_people_and_read_back(tmp_path: Path) -> None:
    image = oriented("RAS")
    tube = tube_of([SliceBox(2, 1.5, 2.5, 4.0, 6.0, 0.5), SliceBox(3, 1.0, 2.0, 4.0, 6.0, 0.8)], (11, 9, 7))
    assert tube is not None
    found = Detections(Box((0, 1, 1), (9, 8, 6)), (tube,))
    write_detections(found, image, tmp_path, "a", {"seconds": 1.0})
    assert read_detections(tmp_path / "a_detections.json") == found
    (row,) = csv.DictReader((tmp_path / "a_detections.csv").open())
    assert (row["id"], row["confidence"], row["slices"]) == ("1", "0.8000", "2")
    own = [int(row[f"{axis}_{end}"]) for end in ("start", "stop") for axis in "zyx"]
    assert own == [2, 5, 1, 4, 8, 5]  # right and anterior run the other way
    assert float(row["z"]) == pytest.approx(40 + 2 * 2.5)
    written = json.loads((tmp_path / "a_detections.json").read_text())
    assert (written["emboli"], written["lungs"]["box_zyx"]) == (1, [[0, 1, 1], [9, 8, 6]])


def test_nothing_found_is_a_result(tmp_path: Path) -> None:
    write_detections(Detections(None, ()), oriented("LPS"), tmp_path, "a", {})
    assert read_detections(tmp_path / "a_detections.json") == Detections(None, ())
    assert len((tmp_path / "a_detections.csv").read_text().splitlines()) == 1


FAR = '{"lps_grid": {"tubes": [[[0, 0, 0, 1, 1, 0.5], [18446744073709551616, 0, 0, 1, 1, 0.5]]], "lungs": null, '
FAR += '"shape_zyx": [9, 9, 9]}}'  # all slices between were filled


BETWEEN = '{"lps_grid": {"tubes": [[[1.5, 0, 0, 1, 1, 0.5]]], "lungs": null, "shape_zyx": [9, 9, 9]}}'


@pytest.mark.parametrize(
    "text", ["", "{}", FAR, BETWEEN, '{"lps_grid": {"tubes": [[1]], "lungs": null, "shape_zyx": [1, 1, 1]}}']
)
def test_what_is_no_detection_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="PE-DET-013"):
        read_detections(tmp_path / "a.json")


def test_detect_reports_a_broken_scan_and_goes_on(
    training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(case_file(training.raw, "image", "p"), scans / "good.nii.gz")
    (scans / "broken.nii.gz").write_bytes(b"no image")
    arguments = ["-i", str(scans), "-o", str(tmp_path / "out"), "-device", "cpu"]
    assert main(["detect", *arguments, "--detector", str(training.fold.parent)]) == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "good_detections.csv",
        "good_detections.json",
        "errors.json",
    }
    assert "1 scans written" in capsys.readouterr().out
    (error,) = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert (error["case"], error["code"]) == ("broken", "PE-IN-003")
    written = json.loads((tmp_path / "out" / "good_detections.json").read_text())
    assert written["detectors"][0]["sha256"] == load_detector(training.fold).records[0].sha256


def test_a_series_is_chosen_and_its_gap_filled_where_that_is_asked_for(
    training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sitk.ReadImage(case_file(training.raw, "image", "p"))
    for name, slices in (("whole", image), ("part", image[:, :, 2:8])):
        write_dicom_series(slices, tmp_path / name, patient_id="P", series_description=name)
        for path in (tmp_path / name).iterdir():
            dataset = pydicom.dcmread(path)
            dataset.StudyInstanceUID = "1.2.3"
            dataset.save_as(path)
            uid = dataset.SeriesInstanceUID
            path.rename(tmp_path / f"{name}_{path.name}")
        (tmp_path / name).rmdir()
    (tmp_path / "part_IM00003.dcm").unlink()
    out = tmp_path / "out"
    arguments = ["-i", str(tmp_path), "-o", str(out), "--detector", str(training.fold.parent), "-device", "cpu"]

    def outcome(*options: str) -> str:
        status = main(["detect", *arguments, *options])
        errors = json.loads((out / "errors.json").read_text())
        assert (status == 0) == (not errors)
        return errors[0]["code"] if errors else ""

    assert outcome() == "PE-DCM-005"
    assert outcome("--series-uid", uid) == "PE-DCM-001"
    assert outcome("--series-uid", uid, "--resample-gaps") == ""
    (written,) = (json.loads(path.read_text()) for path in out.glob("*_detections.json"))
    assert "PE-DCM-026" in [note["code"] for note in written["notes"]]
    assert written["repairs"] == {"assume_hu": False, "resample_gaps": True, "fix_tilt": False}
    assert written["lps_grid"]["shape_zyx"][0] == 6
    assert outcome("--pick", "largest-ct") == ""
    assert "PE-DCM-026" in capsys.readouterr().out


def test_the_detector_of_a_dataset_is_found(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_results", str(training.fold.parents[2]))
    image = case_file(training.raw, "image", "n")
    arguments = ["detect", "-i", str(image), "-o", str(tmp_path), "-d", "7", "-device", "cpu"]
    assert main([*arguments, "-f", "0"]) == 0
    assert main([*arguments, "-f", "3"]) == 2


@pytest.mark.parametrize("arguments", [[], ["-d", "7", "--detector", "x"]])
def test_one_detector_is_named_and_not_two(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", "-i", str(tmp_path), "-o", str(tmp_path), *arguments]) == 2
    assert capsys.readouterr().err.startswith("PE-DET-005")


def test_two_folds_are_one_detector_and_folds_of_other_pixels_none(training: Training, tmp_path: Path) -> None:
    for name in ("fold_0", "fold_1", "fold_all"):
        shutil.copytree(training.fold, tmp_path / name)
    assert [path.name for path in fold_folders(tmp_path)] == ["fold_0", "fold_1"]
    both, one = load_detector(tmp_path), load_detector(training.fold)
    pair = zip(both(training.pictures[:2]), one(training.pictures[:2]), strict=True)
    assert all(a.confidence == pytest.approx(b.confidence) for a, b in pair)  # the mean of two that are the same
    record = tmp_path / "fold_1" / "detector.json"
    record.write_text(record.read_text().replace('"side": 64', '"side": 96'))
    with pytest.raises(ConfigurationError, match="PE-DET-007"):
        load_detector(tmp_path)


def test_a_fold_that_is_not_trained_is_named_with_those_that_are(training: Training) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-DET-005: no trained fold_4.*trained: fold_0"):
        fold_folders(training.fold.parent, ["0", "4"])


def test_a_fold_that_is_named_by_its_folder_is_no_other(tmp_path: Path) -> None:
    fold = tmp_path / "fold_1"
    fold.mkdir()
    (fold / "detector.json").touch()
    assert fold_folders(fold) == fold_folders(fold, ["1"]) == [fold]
    for others in (["0"], ["0", "1"]):
        with pytest.raises(ConfigurationError, match="PE-DET-005"):
            fold_folders(fold, others)
