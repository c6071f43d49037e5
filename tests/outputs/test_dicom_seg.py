"""A DICOM SEG lies on the voxels that were found, in the patient's own coordinates, whatever the orientation."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage
from scipy.spatial.transform import Rotation

from pe_nnunet import __version__
from pe_nnunet.errors import OutputError
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, ModelRecord, ModelTerms, write_case, writers
from pe_nnunet.outputs.writers import write_dicom_seg
from pe_nnunet.volumes import find_scans, read_dicom_label, read_scan, spacing_zyx, write_dicom_series
from pe_nnunet.volumes.seg.seg_writer import slices_with_labels

SHAPE = (7, 12, 14)
QUICK = frozenset({"emboli", "table", "dicom_seg", "report"})
NAMED = {"head first": np.eye(3), "feet first": np.diag([-1.0, 1.0, -1.0]), "prone": np.diag([-1.0, -1.0, 1.0])}


def ct(direction: np.ndarray, seed: int = 0) -> sitk.Image:
    image = sitk.GetImageFromArray(np.random.default_rng(seed).integers(-900, 400, SHAPE).astype(np.int16))
    image.SetSpacing((0.75, 0.75, 1.25))
    image.SetOrigin((-31.5, 12.25, -203.5))
    image.SetDirection(direction.ravel().tolist())
    return image


def case_of(folder: Path, probability: np.ndarray | None = None) -> CaseResult:
    """A case read from DICOM; two boxes of findings unless a map is given, on the grid as read."""
    (ref,) = find_scans(folder)
    scan = read_scan(ref, assume_hu=True)
    if probability is None:
        probability = np.zeros(scan.image.GetSize()[::-1], np.float32)
        probability[1:4, 2:6, 3:7] = 0.9
        probability[5, 8:10, 9:12] = 0.7
    emboli = find_emboli(probability, spacing_zyx(scan.image), FusionSettings(min_volume_mm3=0))
    network = ModelRecord("T__P__3d_fullres", "Dataset501_PE", "0", "checkpoint_final.pth", "ab" * 32)
    return CaseResult("case_1", scan.image, emboli, dicom=scan.dicom, models=(network,))


def points_of(seg: pydicom.Dataset) -> dict[int, np.ndarray]:
    """LPS positions of every voxel by segment, from the file's own elements alone (PS3.3 C.7.6.2.1.1)."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    along_row, along_column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(
        2, 3
    )
    found: dict[int, list[np.ndarray]] = {}
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, plane in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        corner = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        number = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        j, i = np.nonzero(plane)
        found.setdefault(number, []).append(
            corner + i[:, None] * columns_mm * along_row + j[:, None] * rows_mm * along_column
        )
    return {number: np.concatenate(parts) for number, parts in found.items()}


def require_same_points(case: CaseResult, seg: pydicom.Dataset) -> None:
    points = points_of(seg)
    assert sorted(points) == [row.id for row in case.emboli.kept]
    for number, got in points.items():
        indices = np.argwhere(case.emboli.labels == number)[:, ::-1].tolist()
        expected = np.array([case.image.TransformIndexToPhysicalPoint(index) for index in indices])
        assert got.shape == expected.shape
        order, other = np.lexsort(got.round(2).T), np.lexsort(expected.round(2).T)
        np.testing.assert_allclose(got[order], expected[other], atol=0.02)


@st.composite
def directions(draw: st.DrawFn) -> np.ndarray:
    """Right-handed axes: a usual position of the patient, turned by any angles."""
    usual = draw(st.sampled_from(list(NAMED.values())))
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ usual


@settings(max_examples=15, deadline=None)
@given(direction=directions(), seed=st.integers(0, 2**16), share=st.sampled_from([0.01, 0.1]))
def test_lies_on_the_same_voxels_in_any_orientation(direction: np.ndarray, seed: int, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        series = Path(folder) / "ct"
        write_dicom_series(ct(direction, seed), series, patient_id="P1")
        draws = np.random.default_rng(seed).random(SHAPE)
        probability = np.where(draws < share, 0.6 + draws, 0).astype(np.float32)
        probability[3, 4, 5] = 1.0
        case = case_of(series, probability)
        path = Path(folder) / "s.dcm"
        write_dicom_seg(case, path)
        require_same_points(case, pydicom.dcmread(path))
        (ref,) = find_scans(series)
        label, notes = read_dicom_label(path, read_scan(ref, assume_hu=True))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(label), case.emboli.labels)
        assert notes == ()


@pytest.mark.parametrize("position", NAMED)
def test_refers_to_the_slices_it_was_drawn_on(position: str, tmp_path: Path) -> None:
    write_dicom_series(ct(NAMED[position]), tmp_path / "ct", patient_id="P1")
    case = case_of(tmp_path / "ct")
    write_dicom_seg(case, tmp_path / "s.dcm")
    seg, source = pydicom.dcmread(tmp_path / "s.dcm"), pydicom.dcmread(next((tmp_path / "ct").iterdir()))
    assert seg.Modality == "SEG"
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert seg[keyword].value == source[keyword].value
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    used = {case.dicom.sop_instance_uids[z] for z in (1, 2, 3, 5)}
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == used
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert image.ReferencedSOPClassUID == CTImageStorage
        z = case.dicom.sop_instance_uids.index(image.ReferencedSOPInstanceUID)
        position_mm = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        np.testing.assert_allclose(position_mm, case.image.TransformIndexToPhysicalPoint((0, 0, z)), atol=1e-3)
    require_same_points(case, seg)


def test_the_same_emboli_give_the_same_bytes_and_other_ones_other_uids(tmp_path: Path) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    for file in (tmp_path / "ct").iterdir():
        header = pydicom.dcmread(file)
        header.StudyDate, header.StudyTime = "20190314", "101500"
        header.save_as(file)
    case = case_of(tmp_path / "ct")
    for name in ("a.dcm", "b.dcm"):
        write_dicom_seg(case, tmp_path / name)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    dates = {str(element.value) for element in seg.iterall() if element.VR in ("DA", "DT", "TM") and element.value}
    assert dates == {"20190314", "101500"}  # no clock
    case.emboli.labels[case.emboli.labels == 2] = 1
    write_dicom_seg(case, tmp_path / "c.dcm")
    other = pydicom.dcmread(tmp_path / "c.dcm")
    assert len({seg.SOPInstanceUID, other.SOPInstanceUID, seg.SeriesInstanceUID, other.SeriesInstanceUID}) == 4


def test_says_in_codes_what_it_is_and_what_made_it(tmp_path: Path) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    write_dicom_seg(case_of(tmp_path / "ct"), tmp_path / "s.dcm")
    seg = pydicom.dcmread(tmp_path / "s.dcm")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["Embolus 1", "Embolus 2"]
    assert len({item.TrackingUID for item in seg.SegmentSequence}) == 2
    for item in seg.SegmentSequence:
        codes = [item.SegmentedPropertyCategoryCodeSequence, item.SegmentedPropertyTypeCodeSequence]
        assert [(c[0].CodeValue, c[0].CodingSchemeDesignator) for c in codes] == [
            ("49755003", "SCT"),
            ("55584005", "SCT"),
        ]
        assert item.AnatomicRegionSequence[0].CodeValue == "81040000"
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("pe-nnunet", __version__)
        assert "T__P__3d_fullres fold 0 abababab" in algorithm.AlgorithmParameters
    assert seg.SoftwareVersions == __version__
    assert "research use only" in seg.ContentDescription


def test_nothing_of_the_patient_but_what_a_seg_must_repeat(tmp_path: Path) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    for file in (tmp_path / "ct").iterdir():
        source = pydicom.dcmread(file)
        source.PatientName, source.PatientBirthDate, source.PatientSex = "Müller^Jörg", "19500203", "M"
        source.StudyDate, source.AccessionNumber = "20200101", "A1"
        source["StudyTime"] = pydicom.DataElement(0x00080030, "TM", "noon", validation_mode=0)
        source.InstitutionName, source.OperatorsName = "SECRET", "SECRET"
        source.PatientAge, source.PatientComments, source.OtherPatientIDs = "070Y", "SECRET", "SECRET"
        source.Manufacturer, source.StationName, source.ProtocolName = "SECRET", "SECRET", "SECRET"
        source.add_new((0x0009, 0x0010), "LO", "SECRET")
        source.save_as(file)
    write_dicom_seg(case_of(tmp_path / "ct"), tmp_path / "s.dcm")
    seg = pydicom.dcmread(tmp_path / "s.dcm")
    assert (str(seg.PatientName), seg.PatientBirthDate, seg.PatientSex) == ("Müller^Jörg", "19500203", "M")
    assert (seg.StudyDate, seg.StudyTime, seg.AccessionNumber) == ("20200101", "", "A1")
    assert b"SECRET" not in (tmp_path / "s.dcm").read_bytes()
    assert "PatientAge" not in seg


def multi_frame(path: Path, image: sitk.Image) -> None:
    """All slices as one enhanced CT file, its frames in an order of their own."""
    write_dicom_series(image, path.parents[1] / "single", patient_id="P1")
    files = sorted((path.parents[1] / "single").iterdir())
    first = pydicom.dcmread(files[0])
    order = np.random.default_rng(3).permutation(len(files))
    first.SOPClassUID = first.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    first.NumberOfFrames = len(files)
    shared = pydicom.Dataset()
    orientation, measures, values = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "1", "0", "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [values]
    first.SharedFunctionalGroupsSequence = [shared]
    frames, pixels = [], b""
    for k in order:
        single = pydicom.dcmread(files[k])
        place, frame = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = single.ImagePositionPatient
        frame.PlanePositionSequence = [place]
        frames.append(frame)
        pixels += single.PixelData
    first.PerFrameFunctionalGroupsSequence, first.PixelData = frames, pixels
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(first, keyword)
    path.parent.mkdir()
    first.save_as(path)


@pytest.mark.parametrize("position", NAMED)
def test_multi_frame_files_are_referred_to_by_frame(position: str, tmp_path: Path) -> None:
    path = tmp_path / "multi" / "enhanced.dcm"
    multi_frame(path, ct(NAMED[position]))
    case = case_of(tmp_path / "multi")
    assert len(set(case.dicom.files)) == 1
    write_dicom_seg(case, tmp_path / "s.dcm")
    require_same_points(case, pydicom.dcmread(tmp_path / "s.dcm"))
    frames = sorted(case.dicom.frames[z] + 1 for z in (1, 2, 3))
    for kinds in ({"dicom_seg", "dicom_sr", "key_image_1"}, {"dicom_sr"}):
        write_case(case, tmp_path / "out", kinds)
        content = hd.sr.srread(tmp_path / "out" / "case_1_sr.dcm").content
        if "dicom_seg" in kinds:
            key = pydicom.dcmread(tmp_path / "out" / "case_1_key_01.dcm")
            assert key.SourceImageSequence[0].ReferencedFrameNumber in frames
            (image,) = content.get_volumetric_roi_measurement_groups()[0].referenced_segment[1:]
        else:
            (image,) = content.get_image_measurement_groups()[0].source_images
        assert list(image.referenced_frame_numbers) == frames


@pytest.mark.parametrize("kept", [slice(1, None), slice(None, -1)])
def test_a_frame_beyond_the_labels_is_refused(kept: slice, tmp_path: Path) -> None:
    path = tmp_path / "multi" / "enhanced.dcm"
    multi_frame(path, ct(np.eye(3)))
    grid = case_of(tmp_path / "multi").image[:, :, kept]
    labels = np.ones(grid.GetSize()[::-1], np.uint16)
    with pytest.raises(ValueError, match="lies beyond the slices"):
        slices_with_labels([path] * len(labels), grid, labels)


def test_is_written_for_dicom_with_emboli_and_can_be_left_out(tmp_path: Path) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    case = case_of(tmp_path / "ct")
    out = tmp_path / "out"

    def listed() -> dict[str, str]:
        return json.loads((out / "case_1.json").read_text())["files"]

    write_case(case, out, QUICK)
    assert listed()["dicom_seg"] == "case_1_seg.dcm"
    assert (out / "case_1_seg.dcm").exists()
    write_case(case, out, QUICK - {"dicom_seg"})
    assert "dicom_seg" not in listed()
    assert not (out / "case_1_seg.dcm").exists()  # that of the run before would belong to other emboli
    write_case(replace(case, dicom=None), out, QUICK)
    assert "dicom_seg" not in listed()
    quiet = find_emboli(np.zeros(SHAPE, np.float32), (1, 1, 1))
    write_case(replace(case, emboli=quiet), out, QUICK)
    assert "dicom_seg" not in listed()
    with pytest.raises(OutputError, match="PE-OUT-004"):
        write_dicom_seg(replace(case, emboli=quiet), tmp_path / "s.dcm")


def test_a_series_that_allows_none_costs_a_note_and_nothing_else(tmp_path: Path) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    for file in (tmp_path / "ct").iterdir():
        source = pydicom.dcmread(file)
        del source.FrameOfReferenceUID
        source.save_as(file)
    summary = write_case(case_of(tmp_path / "ct"), tmp_path / "out", QUICK)
    (note,) = summary.notes
    assert note.startswith("PE-OUT-004 warning: case case_1")
    assert "FrameOfReferenceUID" in note
    assert not (tmp_path / "out" / "case_1_seg.dcm").exists()


SHARED_UIDS = {
    "all": (range(7), "7 of 7 slices share a SOPInstanceUID"),
    "some": ((1, 2), "2 of 7 slices share a SOPInstanceUID"),
    "one with an unlabelled slice": ((0, 5), "2 of 7 slices share a SOPInstanceUID"),
}


@pytest.mark.parametrize("alike", SHARED_UIDS)
def test_slices_that_share_a_uid_cannot_be_referred_to(tmp_path: Path, alike: str) -> None:
    """A reader would lay the frames of one slice on another one."""
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    numbers, said = SHARED_UIDS[alike]
    for k, file in enumerate(sorted((tmp_path / "ct").iterdir())):
        source = pydicom.dcmread(file)
        if k in numbers:
            source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
            source.save_as(file)
    summary = write_case(case_of(tmp_path / "ct"), tmp_path / "out", QUICK)
    (note,) = summary.notes
    assert note.startswith(f"PE-OUT-004 warning: case case_1: no DICOM SEG: {said}")
    assert not (tmp_path / "out" / "case_1_seg.dcm").exists()
    assert (tmp_path / "out" / "case_1.nii.gz").exists()


def test_slices_without_a_uid_and_those_that_were_resampled(tmp_path: Path) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    resampled = case_of(tmp_path / "ct")
    resampled = replace(resampled, dicom=replace(resampled.dicom, files=(), sop_instance_uids=(), frames=()))
    with pytest.raises(OutputError, match=r"PE-OUT-004.*the scan was resampled"):
        write_dicom_seg(resampled, tmp_path / "s.dcm")
    file = max((tmp_path / "ct").iterdir())  # no embolus lies there
    source = pydicom.dcmread(file)
    del source.SOPInstanceUID
    source.save_as(file)
    with pytest.raises(OutputError, match=r"PE-OUT-004.*1 of 7 slices have no SOPInstanceUID"):
        write_dicom_seg(case_of(tmp_path / "ct"), tmp_path / "s.dcm")


def test_of_very_many_findings_the_most_certain_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    probability = np.zeros(SHAPE, np.float32)
    probability[::2, ::2, ::2] = np.linspace(0.9, 0.6, 4 * 6 * 7).reshape(4, 6, 7)
    case = case_of(tmp_path / "ct", probability)
    monkeypatch.setattr(writers, "MAX_SEGMENTS", 5)
    summary = write_case(case, tmp_path / "out", QUICK)
    assert summary.notes == ("PE-OUT-005 warning: the DICOM SEG holds the 5 emboli of the highest score, of 168",)
    points = points_of(pydicom.dcmread(tmp_path / "out" / "case_1_seg.dcm"))
    assert sorted(points) == [1, 2, 3, 4, 5]


def test_licence_and_citation_of_the_weights_are_in_it_whatever_their_letters(tmp_path: Path) -> None:
    write_dicom_series(ct(np.eye(3)), tmp_path / "ct", patient_id="P1")
    terms = ModelTerms("T__P__3d_fullres", "Dataset501_PE", "CC-BY-NC-4.0", "Müller W, 王.\nEmboli. " + "x" * 20_000)
    case = replace(case_of(tmp_path / "ct"), terms=(terms,))
    write_dicom_seg(case, tmp_path / "s.dcm")
    (algorithm,) = pydicom.dcmread(tmp_path / "s.dcm").SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert "licence of T__P__3d_fullres=CC-BY-NC-4.0" in algorithm.AlgorithmParameters
    assert "M?ller W, ?. Emboli." in algorithm.AlgorithmParameters
    assert len(algorithm.AlgorithmParameters) <= 10240  # LT, PS3.5 6.2
