"""What a DICOM SEG holds: kinds of values, segments that meet, and files that are damaged or contradict themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import compress
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from pe_nnunet.errors import InputError, Note, PEError
from pe_nnunet.volumes import Scan, read_dicom_label, read_scan
from tests.volumes.conftest import Frame

Planes = Sequence[np.ndarray]
Make = Callable[..., pydicom.Dataset]
Read = Callable[[pydicom.Dataset], tuple[np.ndarray, tuple[Note, ...]]]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    from pe_nnunet.volumes import find_scans, write_dicom_series

    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(-900, 300, (5, 7, 9)).astype(np.int16))
    image.SetSpacing((1.5, 1.25, 2.5))
    folder = tmp_path_factory.mktemp("scan")
    write_dicom_series(image, folder / "ct", patient_id="P1")
    (ref,) = find_scans(folder / "ct")
    return read_scan(ref, assume_hu=True)


@pytest.fixture(scope="module")
def make(scan: Scan, make_seg: Make) -> Make:
    """A SEG of these planes, the first on slice 1, or on the slices that are given."""

    def seg(planes: Planes, segments: Sequence[int] = (), slices: Sequence[int] = (), **how: Any) -> pydicom.Dataset:
        frames = [
            Frame(
                plane,
                scan.image.TransformIndexToPhysicalPoint((0, 0, slices[k] if slices else k + 1)),
                (1, 0, 0, 0, 1, 0),
                (1.25, 1.5),
                segments[k] if segments else 1,
            )
            for k, plane in enumerate(planes)
        ]
        return make_seg(frames, scan.dicom.frame_of_reference_uid, **how)

    return seg


@pytest.fixture(scope="module")
def read(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Save and read a SEG."""
    path = tmp_path_factory.mktemp("seg") / "s.dcm"

    def of(dataset: pydicom.Dataset) -> tuple[np.ndarray, tuple[Note, ...]]:
        dataset.save_as(path, enforce_file_format=True)
        label, notes = read_dicom_label(path, scan)
        return sitk.GetArrayFromImage(label), notes

    return of


def box(top: int, left: int, value: int = 1) -> np.ndarray:
    plane = np.zeros((7, 9), np.uint8)
    plane[top : top + 3, left : left + 2] = value
    return plane


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(1, 7), columns=st.integers(1, 9), count=st.integers(1, 5))
def test_bits_of_frames_of_any_size(make: Make, read: Read, seed: int, rows: int, columns: int, count: int) -> None:
    planes = np.random.default_rng(seed).integers(0, 2, (count, rows, columns)).astype(np.uint8)
    expected = np.zeros((5, 7, 9), int)
    expected[:count, :rows, :columns] = planes
    np.testing.assert_array_equal(read(make(planes, slices=range(count)))[0], expected)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("kind", ["LABELMAP", "FRACTIONAL"])
def test_values_compressed_or_not(make: Make, read: Read, kind: str, syntax: Any) -> None:
    planes = [box(0, 0, 1) + box(4, 5, 2), box(3, 3, 2)]
    if kind == "FRACTIONAL":  # of at most 200
        planes = [box(0, 0, 100) + box(4, 5, 99), box(3, 3, 200)]
    dataset = make(planes, kind=kind, names=["PE 1", "PE 2"])
    if syntax == DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax is not None:
        compress(dataset, syntax, generate_instance_uid=False)
    got, notes = read(dataset)
    limit = 1 if kind == "LABELMAP" else 100
    values = planes if kind == "LABELMAP" else [plane >= limit for plane in planes]
    np.testing.assert_array_equal(got[1:3], values)
    assert [note.code for note in notes] == ([] if kind == "LABELMAP" else ["PE-SEG-008"])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
@pytest.mark.parametrize(("keyword", "value"), [("Rows", 6), ("Rows", 8), ("Columns", 8), ("NumberOfFrames", 1)])
def test_streams_unlike_their_header(make: Make, read: Read, syntax: Any, keyword: str, value: int) -> None:
    dataset = make([box(0, 0), box(1, 1)], kind="LABELMAP")
    compress(dataset, syntax, generate_instance_uid=False)
    setattr(dataset, keyword, value)
    if keyword == "NumberOfFrames":
        dataset.PerFrameFunctionalGroupsSequence.pop()
    with pytest.raises(InputError, match="PE-SEG-011"):
        read(dataset)


def test_padding_that_is_a_segment_does_not_hide_it(make: Make, read: Read) -> None:
    dataset = make([np.where(box(0, 0) > 0, 1, 0)], kind="LABELMAP")
    dataset.add_new("PixelPaddingValue", "US", 1)
    with pytest.raises(InputError, match=r"PE-SEG-011.*PixelPaddingValue 1"):
        read(dataset)


def test_padding_of_a_label_map_is_no_segment(make: Make, read: Read) -> None:
    dataset = make([np.where(box(0, 0) > 0, 1, 255)], kind="LABELMAP")
    with pytest.raises(InputError, match=r"PE-SEG-011.*pixels of segment 255"):
        read(dataset)
    dataset.add_new("PixelPaddingValue", "US", 255)
    np.testing.assert_array_equal(read(dataset)[0][1], box(0, 0))


def test_segments_that_overlap_are_refused_unless_one_is_chosen(scan: Scan, make: Make, tmp_path: Path) -> None:
    dataset = make([box(0, 0), box(1, 1)], [1, 2], [3, 3], names=["PE 1", "PE 2"])
    dataset.save_as(tmp_path / "s.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match=r"PE-SEG-004.*1 and 2 overlap, by 2 voxel\(s\) on slice 4"):
        read_dicom_label(tmp_path / "s.dcm", scan)
    label, _ = read_dicom_label(tmp_path / "s.dcm", scan, names="pe 2")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label)[3], 2 * box(1, 1))


def test_doubled_frames(make: Make, read: Read) -> None:
    np.testing.assert_array_equal(read(make([box(0, 0), box(0, 0)], slices=[2, 2]))[0][2], box(0, 0))
    with pytest.raises(InputError, match=r"PE-SEG-011.*two different frames of segment 1 at one place, on slice 3"):
        read(make([box(0, 0), box(1, 1)], slices=[2, 2]))


def _set(keyword: str, value: Any) -> Callable[[pydicom.Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def _frame(keyword: str, value: Any) -> Callable[[pydicom.Dataset], None]:
    return lambda dataset: setattr(dataset.PerFrameFunctionalGroupsSequence[1], keyword, value)


def _measures(text: str) -> list[pydicom.Dataset]:
    measures = pydicom.Dataset()
    measures.add(pydicom.DataElement(0x00280030, "DS", text.split("\\"), validation_mode=0))
    return [measures]


def _orientation(cosines: list[float]) -> pydicom.Dataset:
    axes = pydicom.Dataset()
    axes.ImageOrientationPatient = cosines
    return axes


def _without(keyword: str) -> Callable[[pydicom.Dataset], None]:
    return lambda dataset: delattr(dataset, keyword)


DAMAGE: dict[str, tuple[Callable[[pydicom.Dataset], Any], str]] = {
    "more frames than described": (_set("NumberOfFrames", 3), "NumberOfFrames 3, and 2"),
    "fewer frames than described": (_set("NumberOfFrames", 1), "NumberOfFrames 1, and 2"),
    "no number of frames": (_without("NumberOfFrames"), "NumberOfFrames missing"),
    "no segments": (_set("SegmentSequence", []), "no segment"),
    "no segments at all": (_without("SegmentSequence"), "no segment"),
    "segment without a number": (lambda ds: delattr(ds.SegmentSequence[0], "SegmentNumber"), "SegmentNumber missing"),
    "a segment that is not described": (lambda ds: setattr(ds.SegmentSequence[0], "SegmentNumber", 2), "segment 1"),
    "no position": (_frame("PlanePositionSequence", []), "frame 2 has no valid ImagePositionPatient"),
    "no orientation": (_frame("PlaneOrientationSequence", []), "ImageOrientationPatient"),
    "axes that are not perpendicular": (
        _frame("PlaneOrientationSequence", [_orientation([1, 0, 0, 1, 0, 0])]),
        "ImageOrientationPatient",
    ),
    "spacing that is no number": (_frame("PixelMeasuresSequence", _measures("NaN\\1.5")), "PixelSpacing"),
    "spacing of zero": (_frame("PixelMeasuresSequence", _measures("0\\1.5")), "PixelSpacing"),
    "negative spacing": (_frame("PixelMeasuresSequence", _measures("-1.25\\1.5")), "PixelSpacing"),
    "fewer rows than stored": (_set("Rows", 6), "16 bytes of pixel data, 14 expected"),
    "more rows than stored": (_set("Rows", 9), "16 bytes of pixel data, 21 expected"),
    "no pixels": (_without("PixelData"), "no PixelData"),
    "no type": (_without("SegmentationType"), "SegmentationType missing"),
    "no size": (_set("Columns", 0), "Rows and Columns"),
    "colours": (_set("SamplesPerPixel", 3), "3 value"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused_in_one_line(make: Make, read: Read, damage: str) -> None:
    dataset = make([box(0, 0), box(1, 1)])
    change, said = DAMAGE[damage]
    change(dataset)
    with pytest.raises(InputError, match=f"PE-SEG-011.*{said}") as error:
        read(dataset)
    assert "\n" not in str(error.value)


def test_fractions_without_their_maximum_or_above_it(make: Make, read: Read) -> None:
    dataset = make([box(0, 0, 201)], kind="FRACTIONAL")
    with pytest.raises(InputError, match=r"PE-SEG-011.*201, above its maximum of 200"):
        read(dataset)
    del dataset.MaximumFractionalValue
    with pytest.raises(InputError, match=r"PE-SEG-011.*MaximumFractionalValue"):
        read(dataset)


@pytest.mark.parametrize("said", ["TILED_FULL", "TILED_SPARSE"])
def test_tiles_of_a_slide_are_refused(make: Make, read: Read, said: str) -> None:
    dataset = make([box(0, 0)])
    dataset.DimensionOrganizationType = said
    with pytest.raises(InputError, match=r"PE-SEG-004.*tiles of a slide"):
        read(dataset)


def _places(dataset: pydicom.Dataset) -> list[tuple[pydicom.Dataset, Any]]:
    found = []
    for element in dataset:
        found.append((dataset, element.tag))
        if element.VR == "SQ":
            found += [place for item in element.value for place in _places(item)]
    return found


def test_any_element_may_be_missing(make: Make, read: Read) -> None:
    """Then the label is the same, or the file is refused with a code; never another label, never a traceback."""
    planes = [box(0, 0), box(1, 1)]
    expected = read(make(planes))[0]
    outcomes = {"same": 0, "refused": 0}
    for k in range(len(_places(make(planes)))):
        dataset = make(planes)
        owner, tag = _places(dataset)[k]
        if tag.group == 8 and dataset is owner:  # what makes it a DICOM file
            continue
        del owner[tag]
        try:
            got = read(dataset)[0]
        except PEError:
            outcomes["refused"] += 1
            continue
        np.testing.assert_array_equal(got, expected, err_msg=str(tag))
        outcomes["same"] += 1
    assert min(outcomes.values()) > 5


@settings(max_examples=150, deadline=None)
@given(at=st.integers(200, 1400), wrong=st.binary(min_size=1, max_size=4))
def test_damaged_bytes_give_a_code(scan: Scan, make: Make, tmp_path_factory: Any, at: int, wrong: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    make([box(0, 0), box(1, 1)]).save_as(path, enforce_file_format=True)
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at : at + len(wrong)] = wrong
    path.write_bytes(content)
    try:
        read_dicom_label(path, scan)
    except PEError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it need not be refused
