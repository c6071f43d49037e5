"""Labels in DICOM SEG and RTSTRUCT come back voxel for voxel on the grid of the scan that they were drawn on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    RTStructureSetStorage,
    generate_uid,
)

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import Scan, read_dicom_label, read_scan

SaveSeg = Callable[..., Path]


@pytest.fixture
def scan(make_series: Callable[..., Path], only: Callable[..., Any]) -> Scan:
    return read_scan(only(make_series()))


@pytest.fixture
def ids(scan: Scan) -> np.ndarray:
    """Two emboli, one over three slices, one on a single slice."""
    emboli = np.zeros(scan.image.GetSize()[::-1], np.uint8)
    emboli[2:5, 6:10, 8:13] = 1
    emboli[6, 3:5, 15:17] = 2
    return emboli


@pytest.fixture
def save_seg(write_seg: SaveSeg) -> SaveSeg:
    """Write a SEG over a scan, its frames in the order of the slices."""

    def save(path: Path, scan: Scan, ids: np.ndarray, names: Sequence[str], **how: str) -> Path:
        assert scan.dicom is not None
        return write_seg(path, scan.dicom.files, ids, names, **how)

    return save


def write_rtstruct(path: Path, scan: Scan, contours: dict[str, list[list[tuple[float, float, float]]]]) -> Path:
    """Contours in voxel indices (x, y, z) by name of region."""
    assert scan.dicom is not None
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.Modality, ds.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    ds.StructureSetROISequence, ds.ROIContourSequence = pydicom.Sequence(), pydicom.Sequence()
    for number, (name, polygons) in enumerate(contours.items(), 1):
        roi = pydicom.Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = scan.dicom.frame_of_reference_uid
        ds.StructureSetROISequence.append(roi)
        region = pydicom.Dataset()
        region.ReferencedROINumber, region.ContourSequence = number, pydicom.Sequence()
        for polygon in polygons:
            contour = pydicom.Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(polygon)
            points = [scan.image.TransformContinuousIndexToPhysicalPoint(corner) for corner in polygon]
            contour.ContourData = [f"{value:.4f}" for point in points for value in point]
            region.ContourSequence.append(contour)
        ds.ROIContourSequence.append(region)
    ds.save_as(path, enforce_file_format=True)
    return path


def rectangle(z: float, y: tuple[int, int], x: tuple[int, int]) -> list[tuple[float, float, float]]:
    """Around the voxels from the first to before the last, half a voxel outside their centres."""
    (top, bottom), (left, right) = y, x
    return [(px - 0.5, py - 0.5, z) for px, py in ((left, top), (right, top), (right, bottom), (left, bottom))]


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_segments_are_ids_on_the_slices_they_refer_to(
    tmp_path: Path, scan: Scan, ids: np.ndarray, save_seg: SaveSeg
) -> None:
    label, notes = read_dicom_label(save_seg(tmp_path / "s.dcm", scan, ids, ["Embolus 1", "Embolus 2"]), scan)
    assert np.array_equal(array(label), ids)
    assert label.GetOrigin() == scan.image.GetOrigin()
    assert label.GetDirection() == scan.image.GetDirection()
    assert notes == ()


def test_segments_are_chosen_by_name(tmp_path: Path, scan: Scan, ids: np.ndarray, save_seg: SaveSeg) -> None:
    path = save_seg(tmp_path / "s.dcm", scan, ids, ["Lung", "Embolus"])
    label, _ = read_dicom_label(path, scan, names="EMBOL*")
    assert np.array_equal(array(label), np.where(ids == 2, 2, 0))
    for names, said in ((None, "several things: 'Lung', 'Embolus'"), ("clot", "no 'clot'")):
        with pytest.raises(InputError, match=f"PE-SEG-003.*{said}"):
            read_dicom_label(path, scan, names=names)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_label_maps_are_read_compressed_or_not(
    tmp_path: Path, scan: Scan, ids: np.ndarray, save_seg: SaveSeg, syntax: str
) -> None:
    path = save_seg(tmp_path / "s.dcm", scan, ids, ["Embolus 1", "Embolus 2"], kind="LABELMAP", syntax=syntax)
    assert np.array_equal(array(read_dicom_label(path, scan)[0]), ids)


def test_a_deflated_segmentation(tmp_path: Path, scan: Scan, ids: np.ndarray, save_seg: SaveSeg) -> None:
    path = save_seg(tmp_path / "s.dcm", scan, ids, ["Embolus 1", "Embolus 2"])
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    assert np.array_equal(array(read_dicom_label(path, scan)[0]), ids)


def test_a_segmentation_of_a_multi_frame_scan(
    tmp_path: Path, only: Callable[..., Any], thorax: sitk.Image, write_seg: SaveSeg, write_enhanced: Callable[..., Any]
) -> None:
    """Its frames refer to the frames of one file, which come in any order."""
    dataset = write_enhanced(thorax, tmp_path / "multi.dcm")
    dataset.FrameOfReferenceUID, dataset.PatientName = generate_uid(), "Nobody^Else"
    for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(dataset, keyword, "")
    dataset.ReferringPhysicianName, dataset.SeriesNumber, dataset.InstanceNumber = "", 1, 1
    dataset.save_as(tmp_path / "multi.dcm", enforce_file_format=True)
    scan = read_scan(only(tmp_path / "multi.dcm"))
    assert scan.dicom is not None
    assert list(scan.dicom.frames) != sorted(scan.dicom.frames)
    ids = np.zeros(scan.image.GetSize()[::-1], np.uint8)
    ids[2:5, 6:10, 8:13], ids[6, 3:5, 15:17] = 1, 2
    by_frame = ids[np.argsort(scan.dicom.frames)]
    path = write_seg(tmp_path / "s.dcm", [tmp_path / "multi.dcm"], by_frame, ["Embolus 1", "Embolus 2"])
    assert np.array_equal(array(read_dicom_label(path, scan)[0]), ids)


def test_contours_hold_the_voxels_whose_centres_they_surround(tmp_path: Path, scan: Scan, ids: np.ndarray) -> None:
    first = [rectangle(z, (6, 10), (8, 13)) for z in (2, 3, 4)]
    path = write_rtstruct(tmp_path / "r.dcm", scan, {"PE 1": first, "PE 2": [rectangle(6, (3, 5), (15, 17))]})
    assert np.array_equal(array(read_dicom_label(path, scan)[0]), ids)


def test_a_contour_within_another_is_a_hole(tmp_path: Path, scan: Scan) -> None:
    path = write_rtstruct(
        tmp_path / "r.dcm", scan, {"PE": [rectangle(3, (4, 12), (5, 15)), rectangle(3, (6, 9), (7, 11))]}
    )
    expected = np.zeros(scan.image.GetSize()[::-1], bool)
    expected[3, 4:12, 5:15] = True
    expected[3, 6:9, 7:11] = False
    assert np.array_equal(array(read_dicom_label(path, scan)[0]) > 0, expected)


@pytest.mark.parametrize("z", [2.5, -3, 40])
def test_contours_between_or_beyond_the_slices_are_refused(tmp_path: Path, scan: Scan, z: float) -> None:
    path = write_rtstruct(tmp_path / "r.dcm", scan, {"PE": [rectangle(z, (4, 12), (5, 15))]})
    with pytest.raises(InputError, match="PE-SEG-004"):
        read_dicom_label(path, scan)


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_labels_of_another_series_are_refused(
    tmp_path: Path, scan: Scan, ids: np.ndarray, make_series: Any, only: Any, kind: str, save_seg: SaveSeg
) -> None:
    other = read_scan(only(make_series("other", patient="P2")))
    if kind == "seg":
        path = save_seg(tmp_path / "l.dcm", other, ids, ["PE", "PE"])
    else:
        path = write_rtstruct(tmp_path / "l.dcm", other, {"PE": [rectangle(3, (4, 12), (5, 15))]})
    with pytest.raises(InputError, match="PE-SEG-002"):
        read_dicom_label(path, scan)


def test_fractional_segments_are_read_from_half_on(
    tmp_path: Path, scan: Scan, ids: np.ndarray, save_seg: SaveSeg
) -> None:
    shares = np.where(ids == 1, np.float32(0.5), (ids == 2) * np.float32(0.49))
    path = save_seg(tmp_path / "s.dcm", scan, shares, ["PE"], kind="FRACTIONAL")
    label, (note,) = read_dicom_label(path, scan)
    assert np.array_equal(array(label), ids == 1)
    assert note.code == "PE-SEG-008"


def test_other_files_are_refused(tmp_path: Path, scan: Scan) -> None:
    assert scan.dicom is not None
    text = tmp_path / "t.dcm"
    text.write_text("no DICOM")
    for path, code in ((text, "PE-IN-003"), (tmp_path / "none.dcm", "PE-LBL-001"), (scan.dicom.files[0], "PE-SEG-001")):
        with pytest.raises(InputError, match=code):
            read_dicom_label(path, scan)
