"""A DICOM SEG lies where its frames' own positions say; which voxels these are, ITK and numpy say."""

from __future__ import annotations

import re
import tarfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes import find_scans, read_dicom_label, read_scan
from pe_nnunet.volumes.scan import DicomInfo
from pe_nnunet.volumes.seg.segment_mask import segment_mask
from tests.volumes.conftest import Frame

FRAME_OF_REFERENCE = "1.2.3.4"
SHAPE = (6, 9, 11)
HEAD_FIRST = np.eye(3)
PATH = Path("s.dcm")
MakeSeg = Callable[..., pydicom.Dataset]


def scan_of(
    shape: tuple[int, int, int] = SHAPE, spacing: Sequence[float] = (0.7, 0.9, 1.25), direction: Any = HEAD_FIRST
) -> tuple[sitk.Image, DicomInfo]:
    image = sitk.Image(*shape[::-1], sitk.sitkInt16)
    image.SetSpacing(list(spacing))
    image.SetOrigin((-31.5, 12.25, -203.5))
    image.SetDirection(np.asarray(direction).ravel().tolist())
    uids = tuple(f"1.9.{z}" for z in range(shape[0]))
    files = tuple(Path(f"{z}.dcm") for z in range(shape[0]))
    return image, DicomInfo("1.5", "1.6", FRAME_OF_REFERENCE, "", uids, files, "key", (0,) * shape[0])


def frames_of(image: sitk.Image, ids: np.ndarray, **more: Any) -> list[Frame]:
    """A frame for each slice and segment with voxels, as tools write them."""
    axes = np.array(image.GetDirection()).reshape(3, 3)[:, :2].T.ravel()
    x_mm, y_mm, _ = image.GetSpacing()
    return [
        Frame(ids[z] == number, image.TransformIndexToPhysicalPoint((0, 0, z)), axes, (y_mm, x_mm), number, **more)
        for number in range(1, int(ids.max()) + 1)
        for z in range(len(ids))
        if (ids[z] == number).any()
    ]


def two_emboli(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    ids = np.zeros(shape, np.uint16)
    ids[1:4, 2:5, 3:7], ids[4, 6:8, 1:4] = 1, 2
    return ids


def read(dataset: pydicom.Dataset, image: sitk.Image, dicom: DicomInfo) -> tuple[np.ndarray, tuple[Note, ...]]:
    label, notes = segment_mask(dataset, image, dicom, [int(s.SegmentNumber) for s in dataset.SegmentSequence], PATH)
    assert label.GetOrigin() == image.GetOrigin()
    return sitk.GetArrayFromImage(label), notes


def turned(frame: Frame, rows: bool, columns: bool, swapped: bool) -> Frame:
    """The same pixels in space, stored in another order."""
    along_row, along_column = np.array(frame.axes).reshape(2, 3)
    rows_mm, columns_mm = frame.pixel_mm
    pixels, corner = np.asarray(frame.pixels), np.array(frame.position_mm)
    if rows:
        corner = corner + (pixels.shape[0] - 1) * rows_mm * along_column
        pixels, along_column = pixels[::-1], -along_column
    if columns:
        corner = corner + (pixels.shape[1] - 1) * columns_mm * along_row
        pixels, along_row = pixels[:, ::-1], -along_row
    if swapped:
        pixels, along_row, along_column, rows_mm, columns_mm = pixels.T, along_column, along_row, columns_mm, rows_mm
    axes = np.concatenate([along_row, along_column])
    return replace(frame, pixels=pixels, position_mm=corner, axes=axes, pixel_mm=(rows_mm, columns_mm))


def cut(frame: Frame, top: int, left: int, shape: tuple[int, int]) -> Frame:
    """A part of a frame, or more than it: pixels from this row and column on, of this shape."""
    along_row, along_column = np.array(frame.axes).reshape(2, 3)
    corner = np.array(frame.position_mm) + top * frame.pixel_mm[0] * along_column + left * frame.pixel_mm[1] * along_row
    padded = np.pad(np.asarray(frame.pixels), 20)[20 + top :, 20 + left :][: shape[0], : shape[1]]
    return replace(frame, pixels=padded, position_mm=corner)


@settings(max_examples=60, deadline=None)
@given(
    usual=st.sampled_from([np.eye(3), np.diag([-1.0, 1.0, -1.0]), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]]),
    angles=st.tuples(*[st.integers(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    part=st.tuples(st.integers(-4, 3), st.integers(-4, 3), st.integers(1, 14), st.integers(1, 14)),
    named=st.sampled_from(["none", "own", "own and another"]),
    seed=st.integers(0, 2**16),
)
def test_pixels_come_to_the_voxels_at_their_place(
    make_seg: MakeSeg, usual: Any, angles: Any, spacing: Any, flips: Any, part: Any, named: str, seed: int
) -> None:
    """Frames turned, cut, and shifted, in any order: ITK says which voxel lies at the place of a pixel."""
    image, dicom = scan_of(
        spacing=spacing, direction=Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ usual
    )
    draws = np.random.default_rng(seed)
    ids = np.where(draws.random(SHAPE) < 0.3, draws.integers(1, 4, SHAPE), 0)
    top, left, rows, columns = part
    frames = []
    for frame in frames_of(image, ids):
        z = round(image.TransformPhysicalPointToContinuousIndex(frame.position_mm)[2])
        sources = {"none": (), "own": (f"1.9.{z}",), "own and another": (f"1.9.{(z + 1) % 6}", f"1.9.{z}")}[named]
        frames.append(replace(turned(cut(frame, top, left, (rows, columns)), *flips), sources=sources))
    frames = [frames[k] for k in draws.permutation(len(frames))]
    expected = np.zeros(SHAPE, int)
    for frame in frames:
        along_row, along_column = np.array(frame.axes).reshape(2, 3)
        for r, c in np.argwhere(frame.pixels):
            place = frame.position_mm + c * frame.pixel_mm[1] * along_row + r * frame.pixel_mm[0] * along_column
            expected[image.TransformPhysicalPointToIndex(place.tolist())[::-1]] = frame.segment
    if not expected.any():
        return
    got, notes = read(make_seg(frames, FRAME_OF_REFERENCE, names=["PE"] * 3), image, dicom)
    np.testing.assert_array_equal(got, expected)
    assert notes == ()


@pytest.mark.parametrize("axis", [1, 2])
def test_frames_that_stand_upright_on_the_slices(make_seg: MakeSeg, axis: int) -> None:
    """Coronal and sagittal frames of an axial scan."""
    image, dicom = scan_of()
    ids, spacing = two_emboli(), np.array(image.GetSpacing())[::-1]
    others = [a for a in range(3) if a != axis]
    axes = np.concatenate([np.eye(3)[2 - others[1]], np.eye(3)[2 - others[0]]])
    frames = []
    for k in range(SHAPE[axis]):
        for number in (1, 2):
            pixels = np.take(ids, k, axis) == number
            index = [0, 0, 0]
            index[2 - axis] = k
            corner = image.TransformIndexToPhysicalPoint(index)
            frames.append(Frame(pixels, corner, axes, spacing[others], number, [f"1.9.{z}" for z in range(6)]))
    np.testing.assert_array_equal(read(make_seg(frames, FRAME_OF_REFERENCE, names=["PE"] * 2), image, dicom)[0], ids)


def test_highdicom_reads_the_same_volume(make_series: Any, only: Any, write_seg: Any, tmp_path: Path) -> None:
    import highdicom

    scan = read_scan(only(make_series()))
    ids = two_emboli((8, 20, 24)).astype(np.uint8)
    path = write_seg(tmp_path / "s.dcm", scan.dicom.files, ids, ["PE 1", "PE 2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    label = sitk.GetArrayFromImage(read_dicom_label(path, scan)[0])
    for index in np.argwhere(volume.array):
        place = volume.affine[:3] @ [*index, 1]
        assert label[scan.image.TransformPhysicalPointToIndex(place.tolist())[::-1]] == volume.array[tuple(index)]
    assert np.count_nonzero(label) == np.count_nonzero(volume.array) == np.count_nonzero(ids)


def test_files_of_dcmqi_equal_their_nrrd(real_data: Path, tmp_path: Path) -> None:
    archive = real_data.parent / "field" / "seg_dcmqi.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            if member.isfile():
                files.extract(member, tmp_path)
    folders = [path for path in (tmp_path / "seg_dcmqi").iterdir() if path.is_dir()]
    assert len(folders) == 2
    for folder in folders:
        (ref,) = find_scans(folder / "image")
        label, notes = read_dicom_label(folder / "seg/label.dcm", read_scan(ref, assume_hu=True))
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "nrrd/label.nrrd")))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(label), truth)
        assert truth.any()
        assert notes == ()


def test_one_place_for_all_segments_may_be_shared(make_seg: MakeSeg) -> None:
    image, dicom = scan_of()
    ids = np.zeros(SHAPE, np.uint16)
    ids[3, 1:3, 2:5], ids[3, 5:8, 2:5] = 1, 2
    dataset = make_seg(frames_of(image, ids), FRAME_OF_REFERENCE, names=["PE", "PE"])
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
        setattr(shared, keyword, dataset.PerFrameFunctionalGroupsSequence[0][keyword].value)
        for groups in dataset.PerFrameFunctionalGroupsSequence:
            delattr(groups, keyword)
    np.testing.assert_array_equal(read(dataset, image, dicom)[0], ids)


def test_what_lies_outside_the_scan_is_counted(make_seg: MakeSeg) -> None:
    whole, _ = scan_of()
    image, dicom = scan_of((3, 9, 11))  # the three lowest slices
    ids = two_emboli()
    frames = [
        replace(frame, sources=[f"1.9.{k}"]) for k, frame in zip((1, 2, 3, 4), frames_of(whole, ids), strict=True)
    ]
    dataset = make_seg(frames, FRAME_OF_REFERENCE, names=["PE", "PE"])
    got, (note,) = read(dataset, image, dicom)
    np.testing.assert_array_equal(got, ids[:3])
    assert note.code == "PE-SEG-009"
    assert "18 voxel(s) of 2 frame(s) lie outside" in note.message  # 3 x 4 and 2 x 3 voxels
    with pytest.raises(InputError, match=r"PE-SEG-004.*none of them lies within the scan"):
        read(make_seg([replace(frames[3], sources=[])], FRAME_OF_REFERENCE, names=["PE", "PE"]), image, dicom)


def test_frames_that_name_other_slices_than_those_where_they_lie(make_seg: MakeSeg) -> None:
    """Neither is known to be right, unless the series has no such slices, as after slices were dropped."""
    image, dicom = scan_of()
    frames = frames_of(image, two_emboli())
    there = [replace(frame, sources=[f"1.9.{k}"]) for k, frame in enumerate(frames, 1)]
    assert read(make_seg(there, FRAME_OF_REFERENCE, names=["PE", "PE"]), image, dicom)[1] == ()
    wrong = [replace(frame, sources=[f"1.9.{k + 1}"]) for k, frame in enumerate(frames, 1)]
    with pytest.raises(
        InputError, match=r"PE-SEG-011.*4 of 4 frames name other slices.*lies on slice 2 and names slice 3"
    ):
        read(
            make_seg([*wrong[:3], replace(wrong[3], sources=["1.9.0"])], FRAME_OF_REFERENCE, names=["PE"] * 2),
            image,
            dicom,
        )
    unknown = [there[0], *[replace(frame, sources=["1.8.8"]) for frame in frames[1:]]]
    got, (note,) = read(make_seg(unknown, FRAME_OF_REFERENCE, names=["PE", "PE"]), image, dicom)
    np.testing.assert_array_equal(got, two_emboli())
    assert (note.code, "3 of 4 frames" in note.message) == ("PE-SEG-009", True)


def test_a_segmentation_that_nothing_ties_to_the_scan(make_seg: MakeSeg) -> None:
    image, dicom = scan_of()
    frames = frames_of(image, two_emboli())
    other = [replace(frame, sources=["1.8.8"]) for frame in frames]
    for dataset, info in (
        (make_seg(frames, "1.2.3.5", names=["PE", "PE"]), dicom),
        (make_seg(frames, "", names=["PE", "PE"]), dicom),
        (make_seg(frames, FRAME_OF_REFERENCE, names=["PE", "PE"]), replace(dicom, frame_of_reference_uid="")),
        (make_seg(other, FRAME_OF_REFERENCE, names=["PE", "PE"]), dicom),
    ):
        with pytest.raises(InputError, match="PE-SEG-002"):
            read(dataset, image, info)
    of_series = make_seg(frames, FRAME_OF_REFERENCE, names=["PE", "PE"])
    (of_series.ReferencedSeriesSequence,) = [[pydicom.Dataset()]]
    of_series.ReferencedSeriesSequence[0].SeriesInstanceUID = dicom.series_uid
    assert read(of_series, image, dicom)[0].any()
    of_series.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.7"
    with pytest.raises(InputError, match=r"PE-SEG-002.*another series"):
        read(of_series, image, dicom)


@pytest.mark.parametrize(
    ("spacing", "direction", "shift_mm", "said"),
    [
        ((0.7, 0.9, 1.25), np.eye(3), (0, 0, 0.625), "(0, 0, 0.5) voxels"),
        ((0.7, 0.9, 1.25), np.eye(3), (0.35, 0, 0), "(0.5, 0, 0) voxels"),
        ((1.4, 1.8, 1.25), np.eye(3), (0, 0, 0), "measure 1.4 x 1.8 mm"),
        ((0.72, 0.9, 1.25), np.eye(3), (0, 0, 0), "measure 0.72 x 0.9 mm"),
        ((0.7, 0.9, 5.0), np.eye(3), (0, 0, 0), "slices every 5 mm, the scan every 1.25 mm"),
        ((0.7, 0.9, 1.25), Rotation.from_euler("z", 12, degrees=True).as_matrix(), (0, 0, 0), "turned by 12.0 degrees"),
        ((0.7, 0.9, 1.25), Rotation.from_euler("y", 45, degrees=True).as_matrix(), (0, 0, 0), "turned by 45.0 degrees"),
    ],
)
def test_another_grid_is_refused(make_seg: MakeSeg, spacing: Any, direction: Any, shift_mm: Any, said: str) -> None:
    image, dicom = scan_of((20, 9, 11))
    other, _ = scan_of(spacing=spacing, direction=direction)
    other.SetOrigin((np.array(image.GetOrigin()) + shift_mm).tolist())
    ids = np.zeros(SHAPE, np.uint16)
    ids[1:4, 2:5, 3:7] = 1
    with pytest.raises(InputError, match=f"PE-SEG-004.*{re.escape(said)}"):
        read(make_seg(frames_of(other, ids), FRAME_OF_REFERENCE), image, dicom)


def test_positions_rounded_to_a_tenth_of_a_millimetre(make_seg: MakeSeg) -> None:
    image, dicom = scan_of((30, 9, 11), (0.7, 0.9, 0.625))
    ids = np.zeros((30, 9, 11), np.uint16)
    ids[2:27, 2:5, 3:7] = 1
    frames = frames_of(image, ids)
    rounded = [replace(f, position_mm=(*f.position_mm[:2], round(f.position_mm[2], 1))) for f in frames]
    np.testing.assert_array_equal(read(make_seg(rounded, FRAME_OF_REFERENCE), image, dicom)[0], ids)


def test_a_scan_that_was_resampled(make_series: Any, only: Any, make_seg: MakeSeg, tmp_path: Path) -> None:
    """Segments come to the nearest voxel; slices that were interpolated are labelled as those nearest to them."""

    def tilt(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[0] = float(ds.ImagePositionPatient[0]) + 0.6 * k  # pixels of 1.5 mm

    folder = make_series("tilted", tilt)
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in sorted(folder.iterdir())]
    pixels = np.zeros((20, 24), bool)
    pixels[5:9, 6:12] = True
    frames = [
        Frame(pixels, h.ImagePositionPatient, h.ImageOrientationPatient, h.PixelSpacing, 1, [h.SOPInstanceUID])
        for h in headers
    ]
    make_seg(frames, headers[0].FrameOfReferenceUID).save_as(tmp_path / "s.dcm", enforce_file_format=True)
    scan = read_scan(only(folder), fix_tilt=True)
    label, (note,) = read_dicom_label(tmp_path / "s.dcm", scan)
    got = sitk.GetArrayFromImage(label)
    for z, header in enumerate(headers):
        x = scan.image.TransformPhysicalPointToContinuousIndex(list(map(float, header.ImagePositionPatient)))[0]
        np.testing.assert_array_equal(np.flatnonzero(got[z].any(axis=0)), np.arange(6, 12) + round(x))
    assert note.code == "PE-SEG-010"

    folder = make_series("gap")
    (folder / "IM00004.dcm").unlink()
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in sorted(folder.iterdir())]
    frames = [Frame(pixels, h.ImagePositionPatient, h.ImageOrientationPatient, h.PixelSpacing) for h in headers[1:5]]
    make_seg(frames, headers[0].FrameOfReferenceUID).save_as(tmp_path / "s.dcm", enforce_file_format=True)
    label, (note,) = read_dicom_label(tmp_path / "s.dcm", read_scan(only(folder), resample_gaps=True))
    got = sitk.GetArrayFromImage(label)
    assert [int(np.count_nonzero(plane)) for plane in got] == [0, 24, 24, 24, 24, 24, 0, 0]
    assert (note.code, "24 voxel(s) of interpolated slices" in note.message) == ("PE-SEG-010", True)
