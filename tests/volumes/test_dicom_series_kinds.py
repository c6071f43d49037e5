"""Series as archives keep them: rounded positions, interleaved reconstructions, a UID for every slice."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from pe_nnunet.errors import ConfigurationError, GeometryError, InputError
from pe_nnunet.volumes import find_scans, read_scan, write_dicom_series
from pe_nnunet.volumes.dicom.increment import increment_of


def codes(scan) -> list[str]:
    return [note.code for note in scan.notes]


def voxels(scan) -> np.ndarray:
    return sitk.GetArrayFromImage(scan.image)


def deep(thorax: sitk.Image, slices: int) -> sitk.Image:
    """The thorax with so many slices."""
    image = sitk.GetImageFromArray(sitk.GetArrayFromImage(thorax)[np.arange(slices) % 8])
    image.SetSpacing(thorax.GetSpacing())
    return image


def at(places_mm: np.ndarray) -> Callable[[pydicom.Dataset, int], None]:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[2] = f"{places_mm[k]:.6f}"
        ds.SliceThickness = 1.25

    return edit


NUMBERS = np.arange(24)
WAVERING = np.random.default_rng(3).uniform(-0.1, 0.1, 24)


@pytest.mark.parametrize(
    ("places_mm", "increment_mm", "tolerance_mm"),
    [
        pytest.param(np.round(0.625 * NUMBERS - 76.8556, 1), 0.625, 0.005, id="0.625 to tenths"),
        pytest.param(np.round(0.7 * NUMBERS / 0.25) * 0.25, 0.7, 0.012, id="0.7 to quarters"),
        pytest.param(np.round(2.5 * NUMBERS + 0.1), 2.5, 0.05, id="2.5 to whole ones"),
        pytest.param(np.round(1.25 * NUMBERS + 0.1), 1.25, 0.05, id="1.25 to whole ones, with its thickness"),
        pytest.param(2.5 * NUMBERS + WAVERING, 2.5, 0.01, id="wavering"),
    ],
)
def test_6_rounded_positions_give_the_mean_increment(
    make_series, only, thorax: sitk.Image, places_mm: np.ndarray, increment_mm: float, tolerance_mm: float
) -> None:
    image = deep(thorax, 24)
    scan = read_scan(only(make_series(image=image, edit=at(places_mm))))
    assert codes(scan)[0] == "PE-DCM-031"
    mean_mm = (places_mm[-1] - places_mm[0]) / 23
    assert f"their mean, {mean_mm:.4f} mm, is taken" in scan.notes[0].message
    beside_mm = float(re.search(r"up to ([\d.]+) mm beside", scan.notes[0].message)[1])
    at_mm = places_mm[0] + mean_mm * NUMBERS  # where they are put
    assert beside_mm == pytest.approx(np.abs(places_mm - at_mm).max(), abs=6e-4)
    assert scan.image.GetSpacing()[2] == pytest.approx(mean_mm, abs=1e-6)
    assert mean_mm == pytest.approx(increment_mm, abs=tolerance_mm)
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(image))


UNEVEN = {
    "half of them wider": np.where(NUMBERS < 12, 2.5 * NUMBERS, 30 + 2.7 * (NUMBERS - 12)),
    "whole ones, then wider": np.where(NUMBERS < 12, 2.0 * NUMBERS, 24 + 3.0 * (NUMBERS - 12)),
    "ever wider": 1.0 * NUMBERS + 0.02 * NUMBERS**2,
}


@pytest.mark.parametrize("name", UNEVEN)
def test_6_uneven_distances(make_series, only, thorax: sitk.Image, name: str) -> None:
    """Refused, with a way out that works: what rises with the height by 10 HU a mm does so once interpolated."""
    places_mm = UNEVEN[name]
    ramp = sitk.GetImageFromArray(np.broadcast_to(np.rint(10 * places_mm)[:, None, None], (24, 20, 24)).astype("int16"))
    ref = only(make_series(image=ramp, edit=at(places_mm)))
    with pytest.raises(InputError, match=r"PE-DCM-007.*which no rounding .*--resample-gaps"):
        read_scan(ref, assume_hu=True)
    scan = read_scan(ref, assume_hu=True, resample_gaps=True)
    assert codes(scan)[0] == "PE-DCM-026"
    heights_mm = np.arange(scan.image.GetSize()[2]) * scan.image.GetSpacing()[2]
    assert heights_mm[-1] == pytest.approx(places_mm[-1], abs=scan.image.GetSpacing()[2])
    assert np.abs(voxels(scan)[:, 3, 3] - 10 * heights_mm).max() <= 10 * 0.1 * scan.image.GetSpacing()[2] + 1


@pytest.mark.parametrize("step_mm", [1.0, 2.0, 3.0, 0.625, 0.5])
@pytest.mark.parametrize("count", [6, 24, 100, 400])
@pytest.mark.parametrize("rounded", [False, True])
def test_1_a_slice_missing_among_rounded_positions_is_no_rounding(step_mm: float, count: int, rounded: bool) -> None:
    along_mm = step_mm * np.arange(count) + 0.3
    for gone in {1, count // 3, count // 2, count - 2}:
        left_mm = np.delete(np.round(along_mm, 1) if rounded else along_mm - 0.3, gone)
        points = np.stack([0 * left_mm, 0 * left_mm, left_mm], axis=1)
        with pytest.raises(GeometryError, match=r"PE-DCM-001.*about 1 slice"):
            increment_of(points, np.array([0.0, 0.0, 1.0]), step_mm, "scan", resample_gaps=False)


def test_positions_as_text_of_many_digits(make_series, only, thorax: sitk.Image) -> None:
    """More than the 16 characters of a DS, and exponents."""

    folder = make_series()
    for k, path in enumerate(sorted(folder.iterdir())):
        data, z = path.read_bytes(), 700.25 + 2.5 * k
        start = data.index(b"\x20\x00\x32\x00DS")
        length = int.from_bytes(data[start + 6 : start + 8], "little")
        text = f"-2.0000000000000000e+01\\3.15E1\\{z:.20f}" if k % 2 else f"-20\\+31.5\\{z:.12e}"
        text += " " * (len(text) % 2)
        path.write_bytes(
            data[: start + 6] + len(text).to_bytes(2, "little") + text.encode() + data[start + 8 + length :]
        )
    scan = read_scan(only(folder))
    assert scan.notes == ()
    assert scan.image.GetOrigin() == thorax.GetOrigin()
    assert scan.image.GetSpacing() == thorax.GetSpacing()


TELLING = [
    ("ConvolutionKernel", "B30f", "B70f"),
    ("AcquisitionNumber", 1, 2),
    ("ReconstructionDiameter", 350, 400),
    ("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL"]),
    ("EchoNumbers", 1, 2),
    ("TemporalPositionIdentifier", 1, 2),
    ("SliceThickness", 2.5, 5),
    ("KVP", 80, 140),
    ("SeriesDescription", "arterial", "venous"),
    ("AcquisitionTime", "120000", "120030"),
    ("ConvolutionKernel", "B30f", None),
]


@pytest.mark.parametrize(("keyword", "one", "other"), TELLING)
def test_20_interleaved_reconstructions(make_series, only, thorax, keyword: str, one: object, other: object) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[2] = 700.25 + 1.25 * k + 0.3 * (k % 2)  # of like spacing, not always half-way
        value = other if k % 2 else one
        if value is not None:
            setattr(ds, keyword, value)

    folder = make_series(edit=edit)
    with pytest.raises(
        InputError, match=rf"PE-DCM-032: scan: .*{keyword} is .*4 slices.*--only '?{keyword}="
    ) as refused:
        read_scan(only(folder))
    assert len(str(refused.value)) < 500
    asked = str(refused.value).rsplit("--only ", 1)[1].strip("'")
    (ref,) = find_scans(folder, only=[asked])
    assert np.array_equal(voxels(read_scan(ref)), sitk.GetArrayFromImage(thorax)[::2])
    assert read_scan(ref).image.GetSpacing()[2] == pytest.approx(2.5)


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "KVP", "SeriesDescription"])
@pytest.mark.parametrize("how", ["half-way", "each its own", "absent from one"])
def test_20_what_differs_without_coming_back_is_one_scan(make_series, only, thorax, keyword: str, how: str) -> None:
    values = {"half-way": [1] * 4 + [2] * 4, "each its own": range(8), "absent from one": [3] * 4 + [None] + [3] * 3}

    def edit(ds: pydicom.Dataset, k: int) -> None:
        setattr(ds, keyword, None if values[how][k] is None else str(values[how][k]))
        ds.AcquisitionTime = f"1200{k:02d}"

    assert np.array_equal(voxels(read_scan(only(make_series(edit=edit)))), sitk.GetArrayFromImage(thorax))


def test_20_a_stack_of_two_kernels_is_warned_of(make_series, only, thorax: sitk.Image) -> None:
    """One beyond the other: a volume all the same."""
    scan = read_scan(
        only(make_series(edit=lambda ds, k: setattr(ds, "ConvolutionKernel", "B30f" if k < 5 else "B70f")))
    )
    text = "parts of the stack differ in how they were made: ConvolutionKernel is B30f (5 slices), B70f (3 slices)"
    assert [str(note) for note in scan.notes] == [f"PE-DCM-032 warning: {text}"]
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))


def test_20_time_points_are_told_apart_on_request(make_series, add_time_point, only, thorax: sitk.Image) -> None:
    folder = make_series(edit=lambda ds, k: setattr(ds, "AcquisitionNumber", 1))
    add_time_point(folder)
    with pytest.raises(InputError, match=r"PE-DCM-021.*AcquisitionNumber is 1 .*--only AcquisitionNumber=1"):
        read_scan(only(folder))
    for number in (1, 2):
        (ref,) = find_scans(folder, only=[f"AcquisitionNumber={number}"])
        assert np.array_equal(voxels(read_scan(ref)), sitk.GetArrayFromImage(thorax) + 30 * (number - 1))
    (ref,) = find_scans(folder / "IM00001.dcm", only=["AcquisitionNumber=2"])
    with pytest.raises(InputError, match=r"PE-DCM-035.*AcquisitionNumber=2, found AcquisitionNumber 1"):
        read_scan(ref)
    (ref,) = find_scans(folder, only=["AcquisitionNumber=3"])
    with pytest.raises(InputError, match=r"PE-DCM-035.*16 CT slices.*AcquisitionNumber 1 \(8\), 2 \(8\)"):
        read_scan(ref)


@pytest.mark.parametrize("asked", ["AcquisitionNumber", "AcquisitionNumber=", "NoSuchElement=1", "=1"])
def test_what_is_no_element_and_value_is_refused(tmp_path: Path, asked: str) -> None:
    with pytest.raises(ConfigurationError, match="PE-DCM-036"):
        find_scans(tmp_path, only=[asked])


def own_series(ds: pydicom.Dataset, k: int) -> None:
    ds.SeriesInstanceUID = f"1.2.3.{k}"


@pytest.mark.parametrize("frame_of_reference", [False, True])
@pytest.mark.parametrize("folders", [False, True])
def test_4_a_series_uid_for_every_slice(
    make_series, thorax: sitk.Image, frame_of_reference: bool, folders: bool
) -> None:
    """Refused in short, and joined on request; in a folder for each slice, only the request tells what they are."""

    def edit(ds: pydicom.Dataset, k: int) -> None:
        own_series(ds, k)
        if frame_of_reference:
            ds.FrameOfReferenceUID = f"1.2.4.{k}"

    folder = make_series(edit=edit)
    if folders:
        for path in list(folder.iterdir()):
            path.with_suffix("").mkdir()
            path.rename(path.with_suffix("") / path.name)
        assert len(find_scans(folder)) == 8
    else:
        (ref,) = find_scans(folder)
        with pytest.raises(InputError, match=r"PE-DCM-033: scan: 8 CT series .*--join-series") as refused:
            read_scan(ref)
        assert len(str(refused.value)) < 400
    (ref,) = find_scans(folder, join_series=True)
    scan = read_scan(ref)
    assert (scan.case_id, codes(scan)) == ("scan", ["PE-DCM-034"])
    assert np.array_equal(voxels(scan), sitk.GetArrayFromImage(thorax))
    assert scan.image.GetOrigin() == thorax.GetOrigin()


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ConvolutionKernel", "B70f"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]),
        ("PixelSpacing", [1.0, 1.0]),
        ("FrameOfReferenceUID", "1.2.3"),
    ],
)
def test_4_slices_that_share_too_little_are_not_joined(make_series, keyword: str, value: object) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        own_series(ds, k)
        if k < 3:
            setattr(ds, keyword, value)

    folder = make_series(edit=edit)
    (ref,) = find_scans(folder, join_series=True)
    with pytest.raises(InputError, match=r"PE-DCM-005: scan: 2 CT series .*joined.*--only"):
        read_scan(ref)
    (ref,) = find_scans(folder, join_series=True, pick="largest-ct")
    assert read_scan(ref).image.GetSize() == (24, 20, 5)


def test_4_what_is_joined_is_checked_like_a_series(make_series, only, thorax: sitk.Image, tmp_path: Path) -> None:
    def two_kernels(ds: pydicom.Dataset, k: int) -> None:
        own_series(ds, k)
        ds.AcquisitionNumber = k % 2

    (ref,) = find_scans(make_series("kernels", two_kernels), join_series=True)
    with pytest.raises(InputError, match="PE-DCM-032"):
        read_scan(ref)
    folder = make_series("gap", own_series)
    (folder / "IM00004.dcm").unlink()
    (ref,) = find_scans(folder, join_series=True)
    with pytest.raises(InputError, match="PE-DCM-001"):
        read_scan(ref)
    folder = make_series(
        "patients", lambda ds, k: (own_series(ds, k), setattr(ds, "StudyInstanceUID", f"1.2.{k // 4}"))
    )
    (ref,) = find_scans(folder, join_series=True)
    with pytest.raises(InputError, match="PE-DCM-020"):
        read_scan(ref)


def test_4_whole_series_are_never_joined(make_series, thorax: sitk.Image, tmp_path: Path) -> None:
    folder = make_series("scan")
    write_dicom_series(thorax + 5, tmp_path / "other", patient_id="P1")
    for path in (tmp_path / "other").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = pydicom.dcmread(folder / "IM00001.dcm").StudyInstanceUID
        dataset.save_as(folder / f"other_{path.name}")
    shutil.rmtree(tmp_path / "other")
    (ref,) = find_scans(folder, join_series=True)
    with pytest.raises(InputError, match="PE-DCM-005"):
        read_scan(ref)


def test_4_many_series_are_not_all_listed(make_series, only) -> None:
    """Eight series of four slices."""
    folder = make_series("scan")
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        for k in range(4):
            dataset.SeriesInstanceUID = f"1.2.840.113619.2.55.3.604688119.868.1234567890.{path.stem[-1]}"
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset.save_as(folder / f"{path.stem}_{k}.dcm")
        path.unlink()
    with pytest.raises(InputError, match=r"PE-DCM-005: scan: 8 CT series .*; and 3 more; choose one"):
        read_scan(only(folder))


def test_4_slices_whose_studies_were_renewed_too_are_joined_and_two_studies_are_not(make_series, thorax) -> None:
    def edit(ds: pydicom.Dataset, k: int, studies: int) -> None:
        own_series(ds, k)
        ds.FrameOfReferenceUID = f"1.2.7.{k}"
        ds.StudyInstanceUID = f"1.2.8.{k % studies}"

    (ref,) = find_scans(make_series("renewed", lambda ds, k: edit(ds, k, 8)), join_series=True)
    assert np.array_equal(voxels(read_scan(ref)), sitk.GetArrayFromImage(thorax))
    (ref,) = find_scans(make_series("two", lambda ds, k: edit(ds, k, 2)), join_series=True)
    with pytest.raises(InputError, match="PE-DCM-020"):
        read_scan(ref)
