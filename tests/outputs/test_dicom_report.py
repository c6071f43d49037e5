"""The structured report and the key images say what the table says, of the slices and segments that they refer to."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage

from pe_nnunet import __version__
from pe_nnunet.burden import Burden, Place, Score
from pe_nnunet.burden.planes import Chord
from pe_nnunet.burden.sites import Obstruction
from pe_nnunet.burden.ventricles import Ventricles, View
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, ModelRecord, write_case
from pe_nnunet.outputs.key_image import draw_key_image, orientation
from pe_nnunet.outputs.report_burden import TREE_LEVEL
from pe_nnunet.outputs.structured_report import FOUND, LEVEL
from pe_nnunet.outputs.writers import WRITERS
from pe_nnunet.volumes import find_scans, read_scan, spacing_zyx, write_dicom_series

KINDS = {"dicom_seg", "dicom_sr", *(kind for kind in WRITERS if kind.startswith("key_image"))}
SHAPE = (7, 12, 14)
BOX_DIAMETERS_MM = {  # between the middles of the outermost faces of opposite corners, by the sides of the boxes in mm
    1: np.sqrt(3.75**2 + 2.25**2 + 2.25**2),
    2: np.sqrt(0**2 + 0.75**2 + 2.25**2),
}


def ct(direction: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(-900, 400, SHAPE).astype(np.int16))
    image.SetSpacing((0.75, 0.75, 1.25))
    image.SetOrigin((-31.5, 12.25, -203.5))
    image.SetDirection(direction.ravel().tolist())
    return image


def case_of(folder: Path) -> CaseResult:
    (ref,) = find_scans(folder)
    scan = read_scan(ref, assume_hu=True)
    probability = np.zeros(SHAPE, np.float32)
    probability[1:4, 2:6, 3:7] = 0.9
    probability[5, 8:10, 9:12] = 0.7
    emboli = find_emboli(probability, spacing_zyx(scan.image), FusionSettings(min_volume_mm3=0))
    network = ModelRecord("T__P__3d_fullres", "Dataset501_PE", "0", "checkpoint_final.pth", "ab" * 32)
    return CaseResult("case_1", scan.image, emboli, dicom=scan.dicom, models=(network,))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series with a patient, a study and what must not be repeated."""
    folder = tmp_path_factory.mktemp("series") / "ct"
    write_dicom_series(ct(np.eye(3)), folder, patient_id="P1")
    for file in folder.iterdir():
        source = pydicom.dcmread(file)
        source.PatientName, source.PatientBirthDate, source.PatientSex = "Müller^Jörg", "19500203", "M"
        source.StudyDate, source.StudyTime, source.StudyID, source.AccessionNumber = "20190314", "101500", "7", "A1"
        source.InstitutionName, source.PatientComments, source.StationName = "SECRET", "SECRET", "SECRET"
        source.save_as(file)
    return folder


@pytest.fixture(scope="module")
def written(series: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CaseResult, Path]:
    """A case with two emboli, of the first of which the artery's width is known, and its files."""
    case = replace(case_of(series), artery_mm={1: 9.25})
    out = tmp_path_factory.mktemp("out")
    summary = write_case(case, out, KINDS)
    assert summary.notes == ()
    return case, out


def measured(group: hd.sr.MeasurementsAndQualitativeEvaluations) -> dict[str, tuple[float, str]]:
    return {m.name.value: (float(m.value), m.unit.value) for m in group.get_measurements()}


def test_a_group_an_embolus_with_its_segment_and_its_numbers(written: tuple[CaseResult, Path]) -> None:
    case, out = written
    report = hd.sr.srread(out / "case_1_sr.dcm")
    seg = pydicom.dcmread(out / "case_1_seg.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 2
    for group, row, segment in zip(groups, case.emboli.kept, seg.SegmentSequence, strict=True):
        assert (group.tracking_identifier, group.tracking_uid) == (segment.TrackingID, segment.TrackingUID)
        assert group.finding_type == codes.SCT.PulmonaryEmbolism
        assert [site.value for site in group.finding_sites] == [codes.SCT.PulmonaryArtery]
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert reference.referenced_segment_numbers == [row.id]
        slices = np.flatnonzero((case.emboli.labels == row.id).any(axis=(1, 2)))
        used = {image.referenced_sop_instance_uid for image in reference.source_images_for_segmentation}
        assert used == {case.dicom.sop_instance_uids[z] for z in slices}
        numbers = measured(group)
        assert numbers["118565006"] == (pytest.approx(row.volume_mm3, abs=1e-3), "mm3")
        assert numbers["111012"] == (pytest.approx(100 * row.probability, abs=1e-2), "%")
        assert numbers["L0JK"] == (pytest.approx(BOX_DIAMETERS_MM[row.id], abs=1e-3), "mm")
        assert ("397413000" in numbers) == (row.id == 1)  # nothing is said where nothing is known
        levels = [e.value.meaning for e in group.get_qualitative_evaluations(name=LEVEL)]
        assert levels == (["Lobar by width"] if row.id == 1 else [])
    assert measured(groups[0])["397413000"] == (9.25, "mm")


def test_totals_and_who_made_it(written: tuple[CaseResult, Path]) -> None:
    case, out = written
    report = hd.sr.srread(out / "case_1_sr.dcm")
    (totals,) = report.content.get_image_measurement_groups()
    assert measured(totals) == {
        "246206008": (2, "1"),
        "118565006": (pytest.approx(case.emboli.volume_mm3, abs=1e-3), "mm3"),
        "111013": (pytest.approx(100 * case.emboli.pe_score, abs=1e-2), "%"),
    }
    assert [e.value for e in totals.get_qualitative_evaluations(name=FOUND)] == [codes.DCM.Present]
    said = {item.name.value: item.value for item in totals[0].ContentSequence if item.ValueType == "TEXT"}
    assert (said["111001"], said["111003"]) == ("pe-nnunet", __version__)
    (device,) = report.content.get_observer_contexts()
    assert device.observer_type == codes.DCM.Device
    assert report.content[0].name == codes.DCM.ImagingMeasurementReport
    dataset = pydicom.dcmread(out / "case_1_sr.dcm")
    assert (dataset.Modality, dataset.CompletionFlag, dataset.VerificationFlag) == ("SR", "COMPLETE", "UNVERIFIED")
    assert {uid for *_, uid, kind in report.get_evidence() if kind == CTImageStorage} == {*case.dicom.sop_instance_uids}


def test_patient_and_study_are_repeated_and_nothing_else_and_no_clock(
    written: tuple[CaseResult, Path], series: Path, tmp_path: Path
) -> None:
    case, out = written
    write_case(case, tmp_path, KINDS)
    names = sorted(path.name for path in out.glob("*.dcm"))
    assert names == ["case_1_key_01.dcm", "case_1_key_02.dcm", "case_1_seg.dcm", "case_1_sr.dcm"]
    source = pydicom.dcmread(next(series.iterdir()))
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes()
        made = pydicom.dcmread(out / name)
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
                        "StudyDate", "StudyTime", "AccessionNumber"):  # fmt: skip
            assert made[keyword].value == source[keyword].value, (name, keyword)
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
        assert b"SECRET" not in (out / name).read_bytes()
        dates = {str(e.value) for e in made.iterall() if e.VR in ("DA", "DT", "TM") and e.value}
        assert dates == {"20190314", "101500", "19500203"}
    manifest = json.loads((out / "case_1.json").read_text())
    assert manifest["files"]["dicom_sr"] == "case_1_sr.dcm"
    assert manifest["files"]["key_image_2"] == "case_1_key_02.dcm"
    assert manifest["files"].keys() == manifest["files_sha256"].keys()


def test_key_images_show_the_widest_slices_and_name_them(written: tuple[CaseResult, Path]) -> None:
    case, out = written
    images = [pydicom.dcmread(out / f"case_1_key_{number:02d}.dcm") for number in (1, 2)]
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert [image.InstanceNumber for image in images] == [1, 2]
    for image, row in zip(images, case.emboli.kept, strict=True):
        assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert (image.BurnedInAnnotation, list(image.PatientOrientation)) == ("NO", ["L", "P"])
        z = case.dicom.sop_instance_uids.index(image.SourceImageSequence[0].ReferencedSOPInstanceUID)
        areas = (case.emboli.labels == row.id).sum(axis=(1, 2))
        assert areas[z] == areas.max()
        rgb = image.pixel_array.astype(int)
        spacing = np.array(image.PixelSpacing, float)
        np.testing.assert_allclose(spacing * rgb.shape[:2], np.array(SHAPE[1:]) * 0.75, rtol=1e-6)
        orange = (rgb[..., 0] - rgb[..., 2] > 120) & (rgb[..., 0] > 180)
        y, x = np.nonzero(case.emboli.labels[z] == row.id)
        inside = [slice(int((v.min()) * 0.75 / s) - 3, int((v.max() + 1) * 0.75 / s) + 3) for v, s in
                  zip((y, x), spacing, strict=True)]  # fmt: skip
        assert orange[tuple(inside)].sum() > 0.5 * orange.sum() > 50


@pytest.mark.parametrize(("axes", "letters"), [((1, 1, 1), "LPH"), ((-1, 1, -1), "RPF"), ((-1, -1, 1), "RAH")])
def test_sides_of_the_patient(axes: tuple[int, int, int], letters: str) -> None:
    image = ct(np.diag(np.array(axes, float)))
    assert "".join(orientation(image, axis) for axis in (0, 1, 2)) == letters


def test_that_nothing_was_found_is_a_report_too(series: Path, tmp_path: Path) -> None:
    case = replace(case_of(series), emboli=find_emboli(np.zeros(SHAPE, np.float32), (1, 1, 1)))
    assert write_case(case, tmp_path, KINDS).notes == ()
    assert [path.name for path in tmp_path.glob("*.dcm")] == ["case_1_sr.dcm"]
    report = hd.sr.srread(tmp_path / "case_1_sr.dcm")
    assert report.content.get_volumetric_roi_measurement_groups() == []
    (totals,) = report.content.get_image_measurement_groups()
    assert set(measured(totals).values()) == {(0, "1"), (0, "mm3"), (0, "%")}
    assert [e.value for e in totals.get_qualitative_evaluations(name=FOUND)] == [codes.DCM.Absent]


def burden_of(places: dict[int, Place]) -> Burden:
    """Of a scan with masks of all structures: the ventricles 45 and 30 mm wide."""
    chords = [Chord(np.zeros(3), np.array([0, 0, mm])) for mm in (45.0, 30.0)]
    view = View(*chords, (None, None))
    scores = (Score(12, 10, 15, 40), Score(33, 28, 40, 155)) if places else (Score(0, 0, 0, 40), Score(0, 0, 0, 155))
    return Burden(("artery",), places, *scores, Ventricles(120.0, 90.0, view, None, ()))


def both_derivations(group: hd.sr.MeasurementsAndQualitativeEvaluations, code: str) -> list[float]:
    """A value, and its bounds."""
    found = {
        m.derivation.value if m.derivation else "": m.value for m in group.get_measurements() if m.name.value == code
    }
    return [float(found[key]) for key in ("", codes.SCT.Minimum.value, codes.SCT.Maximum.value)]


def test_what_the_anatomy_tells(series: Path, tmp_path: Path) -> None:
    places = {
        1: Place("segmental", 3, "right", "right lower", Obstruction(0.625, 0.5, 0.75)),
        2: Place(),  # off the tree
    }
    case = replace(case_of(series), burden=burden_of(places), artery_mm={1: 9.25})
    assert write_case(case, tmp_path, KINDS).notes == ()
    report = hd.sr.srread(tmp_path / "case_1_sr.dcm")
    first, second = report.content.get_volumetric_roi_measurement_groups()
    (artery, lobe), (alone,) = first.finding_sites, second.finding_sites
    assert (artery.value, artery.laterality, lobe.value.value) == (
        codes.SCT.PulmonaryArtery, codes.SCT.Right, "266005")  # fmt: skip
    assert (alone.value, alone.laterality) == (codes.SCT.PulmonaryArtery, None)
    levels = [[e.value.meaning for e in group.get_qualitative_evaluations()] for group in (first, second)]
    kind = codes.SCT.MorphologicallyAbnormalStructure.meaning  # the category of the finding
    assert levels == [[kind, "Segmental by the artery tree", "Lobar by width"], [kind]]
    assert [e.value.value for e in first.get_qualitative_evaluations(name=TREE_LEVEL)] == ["SEGMENTAL_BY_TREE"]
    assert both_derivations(first, "408714007") == [62.5, 50, 75]
    assert "408714007" not in measured(second)
    totals, ventricles = report.content.get_image_measurement_groups()
    assert both_derivations(totals, "QANADLI") == [12, 10, 15]
    assert both_derivations(totals, "MASTORA") == [33, 28, 40]
    assert [site.value for site in ventricles.finding_sites] == [codes.SCT.RightVentricle, codes.SCT.LeftVentricle]
    told = [(m.name.value, float(m.value), m.unit.value) for m in ventricles.get_measurements()]
    assert told == [("RV_LV_AXIAL", 1.5, "{ratio}"), ("RV_LV_VOLUME", 1.333, "{ratio}"),
                    ("118565006", 120, "ml"), ("118565006", 90, "ml")]  # fmt: skip
    validated(tmp_path)

    none = find_emboli(np.zeros(SHAPE, np.float32), (1, 1, 1))
    write_case(replace(case, emboli=none, burden=burden_of({}), artery_mm={}), tmp_path / "none", KINDS)
    totals, ventricles = hd.sr.srread(tmp_path / "none" / "case_1_sr.dcm").content.get_image_measurement_groups()
    assert [e.value for e in totals.get_qualitative_evaluations(name=FOUND)] == [codes.DCM.Absent]
    assert both_derivations(totals, "QANADLI") == [0, 0, 0]
    assert measured(ventricles)["RV_LV_AXIAL"] == (1.5, "{ratio}")
    validated(tmp_path / "none")


def test_without_a_segmentation_the_report_refers_to_slices_where_it_can(series: Path, tmp_path: Path) -> None:
    case = case_of(series)
    summary = write_case(case, tmp_path / "a", KINDS - {"dicom_seg"})
    assert [note[:10] for note in summary.notes] == ["PE-OUT-016"]
    *groups, _ = hd.sr.srread(tmp_path / "a" / "case_1_sr.dcm").content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["embolus 1", "embolus 2"]
    assert [len(group.source_images) for group in groups] == [3, 1]
    alike = tmp_path / "ct"
    shutil.copytree(series, alike)
    for file in alike.iterdir():
        source = pydicom.dcmread(file)
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        source.save_as(file)
    summary = write_case(case_of(alike), tmp_path / "b", KINDS)
    assert [note[:10] for note in summary.notes] == ["PE-OUT-004", "PE-OUT-016"]
    *groups, _ = hd.sr.srread(tmp_path / "b" / "case_1_sr.dcm").content.get_image_measurement_groups()
    assert [len(group.source_images) for group in groups] == [0, 0]  # a UID would not say which slice is meant
    assert "SourceImageSequence" not in pydicom.dcmread(tmp_path / "b" / "case_1_key_01.dcm")


def test_a_resampled_scan_has_neither(series: Path, tmp_path: Path) -> None:
    case = case_of(series)
    case = replace(case, dicom=replace(case.dicom, files=(), sop_instance_uids=(), frames=()))
    summary = write_case(case, tmp_path, {"dicom_sr", "key_image_1"})
    assert [note[:10] for note in summary.notes] == ["PE-OUT-004"] * 2
    assert not list(tmp_path.glob("*.dcm"))


def test_pictures_of_long_and_tiny_slices_keep_their_shape(series: Path) -> None:
    case = case_of(series)
    picture = draw_key_image(case, case.emboli.kept[0], 2)
    assert picture.shape[1] == 768
    assert picture.shape[0] / 768 == pytest.approx(12 / 14, abs=1 / 768)


def test_the_files_pass_a_validator_of_the_standard(written: tuple[CaseResult, Path]) -> None:
    validated(written[1])


def validated(folder: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("no dciodvfy here (Debian's package dicom3tools)")
    for path in sorted(folder.glob("*.dcm")):
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == [], path.name
