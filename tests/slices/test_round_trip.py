"""There and back: the same HU, the same ids, the same grid, by every way."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pe_nnunet.cli import main
from pe_nnunet.slices import read_png_scan, slice_names, write_png_scan
from pe_nnunet.volumes import Scan, find_scans, image_like, read_dicom_label, read_scan, require_same_grid, to_lps


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def same(a: sitk.Image, b: sitk.Image) -> bool:
    require_same_grid(a, b, "what came back")
    return np.array_equal(voxels(a), voxels(b))


def slices(*arguments: object) -> int:
    return main(["slices", *map(str, arguments)])


def test_nifti_to_dicom_and_back(volume, image, label, tmp_path: Path) -> None:
    assert slices("dicom", volume[0], tmp_path / "d", "--labels", volume[1]) == 0
    assert sorted(path.name for path in (tmp_path / "d" / "a").iterdir()) == ["ct", "emboli.dcm"]
    assert slices("nifti", tmp_path / "d" / "a" / "ct", tmp_path / "n", "--labels", tmp_path / "d/a/emboli.dcm") == 0
    assert same(sitk.ReadImage(str(tmp_path / "n/ct/ct.nii.gz")), image)
    assert same(sitk.ReadImage(str(tmp_path / "n/ct/emboli.nii.gz")), label), "ids 2 and 7 are kept"


def test_dicom_to_png_and_back(series: Scan, label, volume, tmp_path: Path) -> None:
    assert series.dicom is not None
    assert slices("png", series.ref.path, tmp_path / "p", "--labels", volume[1]) == 0
    names = {path.stem for path in (tmp_path / "p/b/emboli").iterdir()}
    assert names == set(series.dicom.sop_instance_uids)
    stored = np.asarray(Image.open(tmp_path / "p/b/ct" / f"{series.dicom.sop_instance_uids[3]}.png"))
    assert np.array_equal(stored.astype(int) - 32768, voxels(series.image)[3])
    assert slices("nifti", tmp_path / "p", tmp_path / "n") == 0
    assert same(sitk.ReadImage(str(tmp_path / "n/b/ct.nii.gz")), series.image)
    assert same(sitk.ReadImage(str(tmp_path / "n/b/emboli.nii.gz")), label)
    text = "".join(str(p) for p in (tmp_path / "p").rglob("*")) + (tmp_path / "p/b/slices.json").read_text()
    assert "Secret" not in text


def test_png_masks_find_their_slices_of_a_series(series: Scan, label, volume, tmp_path: Path) -> None:
    slices("png", series.ref.path, tmp_path / "p", "--labels", volume[1])
    masks = tmp_path / "p" / "b" / "emboli"
    for path in masks.iterdir():  # 2D tools write no mask for an empty slice
        if not np.asarray(Image.open(path)).any():
            path.unlink()
    assert len(list(masks.iterdir())) == 4
    assert slices("dicom", series.ref.path, tmp_path / "s", "--labels", masks) == 0
    assert [path.name for path in (tmp_path / "s/b").iterdir()] == ["emboli.dcm"], "the series is there already"
    assert same(read_dicom_label(tmp_path / "s/b/emboli.dcm", series)[0], label)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_all_48_axis_orientations_come_back(image, label, tmp_path: Path, order: tuple[int, int, int]) -> None:
    for flips in product((False, True), repeat=3):
        turned, ids = (sitk.Flip(sitk.PermuteAxes(i, order), flips, flipAboutOrigin=False) for i in (image, label))
        folder, image_lps = tmp_path / "".join(map(str, map(int, flips))), to_lps(turned)
        names = slice_names(None, image_lps.GetSize()[2])
        write_png_scan(image_lps, to_lps(ids), folder, names, before_lps=turned)
        back, back_label = read_png_scan(folder)
        assert back.GetDirection() == turned.GetDirection()
        assert back.GetOrigin() == turned.GetOrigin()
        assert np.array_equal(voxels(back), voxels(turned))
        assert back_label is not None
        assert np.array_equal(voxels(back_label), voxels(ids))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axis=st.tuples(*[st.floats(0.01, 1)] * 3),
    angle=st.floats(-3.2, 3.2),
    origin=st.tuples(*[st.floats(-3000, 3000)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
)
def test_any_grid_comes_back_from_png(tmp_path_factory, axis, angle: float, origin, spacing) -> None:
    hu = np.random.default_rng(0).integers(-32768, 32768, (4, 3, 5)).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(sitk.VersorTransform(axis, angle).GetMatrix())
    folder, image_lps = tmp_path_factory.mktemp("png"), to_lps(image)
    write_png_scan(image_lps, None, folder, slice_names(None, image_lps.GetSize()[2]), before_lps=image)
    back, back_label = read_png_scan(folder)
    assert back_label is None
    assert np.array_equal(voxels(back), hu)
    assert (back.GetOrigin(), back.GetSpacing()) == (image.GetOrigin(), image.GetSpacing())
    assert back.GetDirection() == image.GetDirection()


def test_a_left_handed_volume_lies_in_the_same_place_as_dicom(image, tmp_path: Path) -> None:
    """As dcm2niix writes them: rows towards the front. DICOM is right-handed, so its axes come back as LPS."""
    flipped = sitk.Flip(image, [False, True, False], flipAboutOrigin=False)
    sitk.WriteImage(flipped, str(tmp_path / "f.nii.gz"))
    assert slices("dicom", tmp_path / "f.nii.gz", tmp_path / "d") == 0
    (ref,) = find_scans(tmp_path / "d")
    assert same(read_scan(ref).image, to_lps(flipped))


def test_an_empty_mask_becomes_an_empty_seg(series: Scan, tmp_path: Path) -> None:
    empty = image_like(np.zeros(series.image.GetSize()[::-1], np.uint8), series.image)
    sitk.WriteImage(empty, str(tmp_path / "empty.nii.gz"))
    assert slices("dicom", series.ref.path, tmp_path / "s", "--labels", tmp_path / "empty.nii.gz") == 0
    assert not voxels(read_dicom_label(tmp_path / "s/b/emboli.dcm", series)[0]).any()


def test_a_seg_says_who_drew_it_and_whose_it_is(series: Scan, volume, tmp_path: Path) -> None:
    slices("dicom", series.ref.path, tmp_path / "s", "--labels", volume[1], "--algorithm", "TAR-UNet")
    seg = pydicom.dcmread(tmp_path / "s/b/emboli.dcm")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["Embolus 2", "Embolus 7"]
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"AUTOMATIC"}
    assert seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "TAR-UNet"
    assert (seg.PatientID, seg.StudyInstanceUID) == ("Secret^Name", series.dicom.study_uid)
    slices("dicom", series.ref.path, tmp_path / "t", "--labels", volume[1])
    assert {i.SegmentAlgorithmType for i in pydicom.dcmread(tmp_path / "t/b/emboli.dcm").SegmentSequence} == {"MANUAL"}


def test_a_window_of_eight_bits(volume, image, tmp_path: Path) -> None:
    assert slices("png", volume[0], tmp_path / "p", "--window", "-250", "450") == 0
    picture = np.asarray(Image.open(tmp_path / "p/a/ct/0003.png"))
    assert picture.dtype == np.uint8
    expected = np.clip((voxels(image)[2].astype(float) + 250) / 700, 0, 1) * 255
    assert np.abs(picture - expected).max() <= 0.5
    assert slices("nifti", tmp_path / "p", tmp_path / "n") == 2


def test_several_scans_and_one_without_a_label(volume, image, tmp_path: Path, capsys) -> None:
    sitk.WriteImage(image, str(tmp_path / "in" / "z.nii.gz"))
    assert slices("png", tmp_path / "in", tmp_path / "p", "--labels", tmp_path / "masks") == 3
    assert (tmp_path / "p/a/emboli/0001.png").is_file()
    assert "z: PE-LBL-001" in capsys.readouterr().err
    (tmp_path / "p/a").rename(tmp_path / "p/a b")
    pattern = tmp_path / "p" / "{case}"
    assert slices("nifti", pattern, tmp_path / "n", "--labels", tmp_path / "p" / "{case}" / "emboli") == 0
    assert sorted(path.name for path in (tmp_path / "n/a-b").iterdir()) == ["ct.nii.gz", "emboli.nii.gz"]
