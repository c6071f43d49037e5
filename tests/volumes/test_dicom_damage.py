"""Elements of DICOM that hold something else than they should: damage is said, and never counts as absence."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, RTStructureSetStorage

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import find_scans, read_dicom_label, read_scan
from pe_nnunet.volumes.scan import Scan
from tests.volumes.conftest import Frame, item


def raw(keyword: str, vr: str, value: bytes) -> RawDataElement:
    tag = Tag(keyword)
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


def element(keyword: str, vr: str, value: bytes) -> Callable[[Any, int], None]:
    def edit(dataset: Any, k: int) -> None:
        if k == 2:
            dataset[Tag(keyword)] = raw(keyword, vr, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (element("RescaleIntercept", "DS", b"-10x4 "), "PE-DCM-009.*nan"),
        (element("RescaleSlope", "DS", b"1.2.840 "), "PE-DCM-009.*nan"),
        (element("RescaleIntercept", "DS", b"12345678901234567890"), "PE-DCM-009"),
        (element("RescaleSlope", "DS", b"1e9 "), "PE-DCM-009"),
        (element("RescaleSlope", "DS", b"\0\0"), "PE-DCM-009"),  # the intercept alone
        (element("HighBit", "LO", b"\x0f\x00"), "PE-DCM-022.*no numbers in HighBit"),
        (element("HighBit", "AT", b"\x0f\x00"), "PE-DCM-022.*HighBit"),
        (element("NumberOfFrames", "IS", b"two "), "PE-DCM-022.*NumberOfFrames"),
    ],
)
def test_numbers_that_are_none_are_refused_though_hu_are_assumed(make_series: Any, edit: Any, error: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (ref,) = find_scans(make_series(edit=edit))
    with pytest.raises(InputError, match=error):
        read_scan(ref, assume_hu=True)


@pytest.mark.parametrize("uid", [b"1.2.840.10008.5.1.4\0", b"1.2.840.10008.1.2.4.70"])  # none, and JPEG
def test_a_transfer_syntax_that_is_none(make_series: Any, uid: bytes) -> None:
    folder = make_series()
    for path in folder.iterdir():
        content = path.read_bytes()
        before = len(b"1.2.840.10008.1.2.1\0").to_bytes(2, "little") + b"1.2.840.10008.1.2.1\0"
        assert before in content
        path.write_bytes(content.replace(before, len(uid).to_bytes(2, "little") + uid, 1))
    with pytest.raises(InputError, match="PE-DCM-022"):
        read_scan(find_scans(folder)[0])


def deflated(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A file of this one's elements, its deflated part changed."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    whole = stream.getvalue()
    start = 132 + 12 + int.from_bytes(whole[140:144], "little")
    assert zlib.decompress(whole[start:], wbits=-15)
    return whole[:start] + change(whole[start:])


CUT = {"cut": lambda body: body[:-30], "noise": lambda body: body[:60] + bytes([255] * 40) + body[100:]}


@pytest.mark.parametrize("how", CUT)
def test_deflated_slices_are_read_to_the_end_of_their_stream(make_series: Any, how: str) -> None:
    folder = make_series()
    victim = sorted(folder.iterdir())[3]
    victim.write_bytes(deflated(victim.read_bytes(), lambda body: body))
    whole = read_scan(find_scans(folder)[0])
    assert whole.image.GetSize()[2] == 8
    victim.write_bytes(deflated(victim.read_bytes(), CUT[how]))
    with pytest.raises(InputError, match="PE-DCM-022"):
        read_scan(find_scans(folder)[0])


@pytest.fixture
def scan(make_series: Any) -> Scan:
    return read_scan(find_scans(make_series())[0])


def test_a_deflated_seg_that_breaks_off(scan: Scan, make_seg: Any, tmp_path: Path) -> None:
    assert scan.dicom is not None
    frame = Frame(np.eye(20, 24), scan.image.GetOrigin(), (1, 0, 0, 0, 1, 0), (1.25, 1.5))
    stream = io.BytesIO()
    make_seg([frame], scan.dicom.frame_of_reference_uid).save_as(stream, enforce_file_format=True)
    path = tmp_path / "seg.dcm"
    path.write_bytes(deflated(stream.getvalue(), lambda body: body))
    assert pydicom.dcmread(path).NumberOfFrames == 1
    path.write_bytes(deflated(stream.getvalue(), lambda body: bytes(30) + body))
    with pytest.raises(InputError, match=r"PE-(IN-003|SEG-001|SEG-011)"):
        read_dicom_label(path, scan)


def structure_set(scan: Scan) -> Any:
    assert scan.dicom is not None
    points = [scan.image.TransformIndexToPhysicalPoint(corner) for corner in ((3, 3, 2), (9, 3, 2), (9, 9, 2))]
    contour = item(
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=3,
        ContourData=[f"{mm:.3f}" for point in points for mm in point],
    )
    dataset = item(
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID="1.2.3",
        Modality="RTSTRUCT",
        StructureSetROISequence=[
            item(ROINumber=1, ROIName="PE", ReferencedFrameOfReferenceUID=scan.dicom.frame_of_reference_uid)
        ],
        ROIContourSequence=[item(ReferencedROINumber=1, ContourSequence=[contour])],
    )
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        RTStructureSetStorage,
        "1.2.3",
    )
    return dataset


def read(dataset: Any, scan: Scan, tmp_path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
        return read_dicom_label(tmp_path / "rt.dcm", scan)


def test_a_structure_set_that_breaks_off_is_not_empty(scan: Scan, tmp_path: Path) -> None:
    dataset = structure_set(scan)
    label, notes = read(dataset, scan, tmp_path)
    assert sitk.GetArrayViewFromImage(label).any()
    assert notes == ()
    del dataset.StructureSetROISequence, dataset.ROIContourSequence
    with pytest.raises(InputError, match=r"PE-SEG-011.*no region"):
        read(dataset, scan, tmp_path)
    dataset.StructureSetROISequence = []  # and its contours lie in what it breaks off before
    with pytest.raises(InputError, match=r"PE-SEG-011.*no region"):
        read(dataset, scan, tmp_path)


def test_a_class_that_is_a_sequence_is_no_end_of_the_batch(scan: Scan, tmp_path: Path) -> None:
    path = tmp_path / "rt.dcm"
    structure_set(scan).save_as(path, enforce_file_format=True)
    uid = bytes((8, 0, 0x16, 0))
    path.write_bytes(path.read_bytes().replace(uid + b"UI", uid + b"SQ", 1))
    with pytest.raises(InputError, match=r"PE-(SEG-001|IN-003)"):
        read_dicom_label(path, scan)


def test_a_slice_whose_modality_swallowed_what_follows_is_damaged(make_series: Any) -> None:
    folder = make_series()
    first = min(folder.iterdir())
    content = first.read_bytes()
    at = content.index(b"\x08\x00\x60\x00CS")
    first.write_bytes(content[: at + 6] + b"\xff\x00" + content[at + 8 :])  # 255 bytes, not 2
    with pytest.raises(InputError, match=f"PE-DCM-022.*{first.name}"):
        read_scan(find_scans(folder)[0])
    at = content.index(b"\x08\x00\x16\x00UI")
    damaged = content[: at + 4] + b"UT\0\0\xff\xff\0\0" + content[at + 8 :]  # the class takes all that follows
    first.write_bytes(damaged)
    with pytest.raises(InputError, match=f"PE-DCM-022.*{first.name}"):
        read_scan(find_scans(folder)[0])


@pytest.mark.parametrize("keyword", ["StructureSetROISequence", "ROIContourSequence"])
def test_a_sequence_that_cannot_be_decoded_is_not_absent(scan: Scan, tmp_path: Path, keyword: str) -> None:
    dataset = structure_set(scan)
    dataset[Tag(keyword)] = raw(keyword, "OB", b"no items here, though bytes.")
    with pytest.raises(InputError, match="PE-SEG-011"):
        read(dataset, scan, tmp_path)


@pytest.mark.parametrize("number", [b"nan ", b"1.5 "])
def test_a_region_whose_number_is_none(scan: Scan, tmp_path: Path, number: bytes) -> None:
    dataset = structure_set(scan)
    dataset.StructureSetROISequence[0][Tag("ROINumber")] = raw("ROINumber", "IS", number)
    _, notes = read(dataset, scan, tmp_path)
    assert "PE-SEG-005" in {note.code for note in notes}
