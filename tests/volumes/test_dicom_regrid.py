"""A gap filled, a tilt undone: only where asked for, with a note, and right where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy.ndimage import shift

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import find_scans, read_scan


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def codes(scan) -> list[str]:
    return [note.code for note in scan.notes]


def test_1_one_gap_is_interpolated(make_series, only, thorax: sitk.Image) -> None:
    folder = make_series()
    for k in (4, 5):
        (folder / f"IM{k:05d}.dcm").unlink()
    scan = read_scan(only(folder), resample_gaps=True)
    assert codes(scan) == ["PE-DCM-026"]
    assert "2 slice(s) interpolated" in scan.notes[0].message
    true, got = voxels(thorax).astype(float), voxels(scan.image)
    assert (scan.image.GetSpacing(), scan.image.GetOrigin()) == (thorax.GetSpacing(), thorax.GetOrigin())
    kept = [0, 1, 2, 5, 6, 7]
    assert np.array_equal(got[kept], true[kept])
    assert np.abs(got[3] - (2 * true[2] + true[5]) / 3).max() <= 0.5
    assert np.abs(got[4] - (true[2] + 2 * true[5]) / 3).max() <= 0.5
    assert scan.dicom.files == scan.dicom.sop_instance_uids == (), "no slice of it is one of a file"


def test_1_slices_beyond_a_gap_of_no_whole_number(make_series, only, thorax: sitk.Image) -> None:
    """The second half lies 1.6 increments on: its slices are interpolated as well, at their true heights."""
    ramp = sitk.GetImageFromArray(
        np.broadcast_to(np.arange(8)[:, None, None] * 100 - 400, (8, 20, 24)).astype(np.int16)
    )
    ramp.CopyInformation(thorax)

    def edit(ds: pydicom.Dataset, k: int) -> None:
        if k >= 4:
            ds.ImagePositionPatient[2] = float(ds.ImagePositionPatient[2]) + 1.5
            ds.PixelData = (ds.pixel_array + 60).astype("<i2").tobytes()

    scan = read_scan(only(make_series(image=ramp, edit=edit)), resample_gaps=True, assume_hu=True)
    assert codes(scan) == ["PE-DCM-026"]
    heights = np.arange(scan.image.GetSize()[2]) * 100 - 400  # the ramp rises by 40 HU a mm, wherever a slice lies
    assert np.abs(voxels(scan.image)[:, 10, 10] - heights).max() <= 1


@pytest.mark.parametrize("missing", [(3, 6), (2, 3, 4, 5)], ids=["two gaps", "12.5 mm"])
def test_1_other_gaps_are_still_refused(make_series, only, missing: tuple[int, ...]) -> None:
    folder = make_series()
    for k in missing:
        (folder / f"IM{k:05d}.dcm").unlink()
    with pytest.raises(InputError, match=r"PE-DCM-001.*export the whole series again$"):
        read_scan(only(folder), resample_gaps=True)


def test_3_a_tilt_is_undone(make_series, only, thorax: sitk.Image) -> None:
    """Columns of equal value along the tilt: sheared by whole pixels they stand upright again, without a change."""
    hu = voxels(thorax)
    sheared = np.stack([np.roll(hu[k], -k, axis=0) for k in range(len(hu))])  # the gantry sees the body move
    for k in range(len(hu)):
        sheared[k, 20 - k :] = -1000
    image = sitk.GetImageFromArray(sheared)
    image.CopyInformation(thorax)

    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[1] = float(ds.ImagePositionPatient[1]) + 1.25 * k

    ref = only(make_series(image=image, edit=edit))
    with pytest.raises(InputError, match=r"PE-DCM-004.*--fix-tilt"):
        read_scan(ref)
    scan = read_scan(ref, fix_tilt=True)
    assert codes(scan) == ["PE-DCM-027"]
    assert scan.image.GetSize() == (24, 27, 8)
    assert scan.image.GetOrigin() == pytest.approx(thorax.GetOrigin())
    got = voxels(scan.image)
    for k in range(8):
        assert np.abs(got[k, k:20].astype(int) - hu[k, k:]).max() <= 1, k
        assert (got[k, :k] == -1024).all()


def test_3_a_tilt_the_other_way_moves_the_origin(make_series, only, thorax: sitk.Image) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[0] = float(ds.ImagePositionPatient[0]) - 0.75 * k

    scan = read_scan(only(make_series(edit=edit)), fix_tilt=True)
    assert scan.image.GetSize() == (28, 20, 8)
    x, y, z = thorax.GetOrigin()
    assert scan.image.GetOrigin() == pytest.approx((x - 0.75 * 7, y, z))
    got, true = voxels(scan.image).astype(int), voxels(thorax)
    assert np.abs(got[5, :, 1:25] - true[5]).max() <= 1
    assert np.abs(got[6, :, 1:24] - (true[6, :, :-1] + true[6, :, 1:]) / 2).max() <= 1, "half a pixel"


def test_3_slices_that_wander_are_refused(make_series, only) -> None:
    def edit(ds: pydicom.Dataset, k: int) -> None:
        ds.ImagePositionPatient[1] = float(ds.ImagePositionPatient[1]) + (8.0 if k > 4 else 0.0)

    with pytest.raises(InputError, match=r"PE-DCM-004.*not evenly"):
        read_scan(only(make_series(edit=edit)), fix_tilt=True)


def test_a_real_gantry_tilt(unpacked) -> None:
    folder: Path = unpacked("dicom/gantry_tilt.tar.xz")
    (ref,) = find_scans(folder)
    scan = read_scan(ref, fix_tilt=True)
    assert "PE-DCM-027" in codes(scan)
    hu, first = voxels(scan.image), pydicom.dcmread(ref.files[0])
    assert hu.shape[0] == 12
    assert hu.shape[1] > first.Rows
    step = np.tan(np.radians(18.5)) * scan.image.GetSpacing()[2] / scan.image.GetSpacing()[1]

    def unlike(more: float) -> float:
        """How much neighbouring slices differ within the head, tilted further by so many tilts."""
        moved = [shift(np.clip(plane, -200, 1000.0), (more * step * k, 0), order=1) for k, plane in enumerate(hu)]
        return float(np.abs(np.diff(np.stack(moved)[:, 60:-60:2, 40:-40:2], axis=0)).mean())

    assert unlike(0) < min(unlike(-1), unlike(1))
