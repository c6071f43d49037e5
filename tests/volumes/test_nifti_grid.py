"""NIfTI headers that contradict themselves: the grid is ITK's, and the note names what nibabel reads."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.volumes import find_scans, read_file
from pe_nnunet.volumes.files.volume_file import file_sha256
from tests.volumes.headers import SPACING_MM, affine, geometry, geometry_of_affine, nifti, turned

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
UNIT = affine((1.0, 1.0, 1.0))
THICKER = affine((1.5, 1.25, 10 / 3))
MIRRORED = affine(axes=np.diag([1.0, -1.0, 1.0]))
TURNED = affine(axes=turned(20))
SHEARED = affine() + np.array([[0, 0, 0.3, 0], *np.zeros((3, 4))])
ZERO = np.diag([0.0, 0.0, 0.0, 1.0])
TAKEN = geometry_of_affine(affine())

# what is in the header; what ITK takes, worked out by hand; what the note says
CONTRADICTIONS: dict[str, tuple[dict[str, Any], np.ndarray, str]] = {
    "sform of 1 mm": ({"sform": UNIT}, TAKEN, "sform, as nibabel reads it: spacing 1, 1, 1 mm"),
    "sform of 1 mm, aligned": ({"sform": UNIT, "s_code": 2}, TAKEN, "nibabel reads it: spacing 1, 1, 1 mm"),
    "one axis": ({"sform": THICKER}, TAKEN, r"nibabel reads it: spacing 1\.5, 1\.25, 3\.3333 mm"),
    "sform alone": ({"sform": THICKER, "q_code": 0}, TAKEN, r"nibabel reads it: spacing 1\.5, 1\.25, 3\.3333 mm"),
    "pixdim of 1": (
        {"q_code": 0, "pixdim": (1, 1, 1)},
        geometry_of_affine(UNIT),
        r"spacing 1, 1, 1 mm \(pixdim\).*nibabel reads it: spacing 1\.5, 1\.25, 2\.5 mm",
    ),
    "turned": ({"sform": TURNED}, geometry_of_affine(TURNED), "by the qform: axes turned by 20.0 degrees"),
    "turned, aligned": ({"sform": TURNED, "s_code": 2}, TAKEN, "nibabel reads it: axes turned by 20.0 degrees"),
    "mirrored": ({"sform": MIRRORED}, geometry_of_affine(MIRRORED), "by the qform: axes mirrored"),
    "qfac": ({"qfac": -1}, TAKEN, "by the qform: axes mirrored"),
    "moved": (
        {"sform": affine(origin=(25, -31.5, 700.25)), "s_code": 2},
        TAKEN,
        r"nibabel reads it: origin \(-25, 31\.5, 700\.25\) instead of \(-20, 31\.5, 700\.25\)",
    ),
    "sheared": ({"sform": SHEARED}, TAKEN, r"nibabel reads it: .*axes off perpendicular by 0\.12"),
    "empty": ({"sform": ZERO}, TAKEN, "the sform has an axis of length zero"),
    "quaternion": (
        {"s_code": 0, "quatern_b": 0.8, "quatern_c": 0.8, "quatern_d": 0.8},
        geometry_of_affine(affine(axes=2 / 3 * np.ones((3, 3)) - np.eye(3))),
        "the quaternion of the qform has length 1.3856",
    ),
    "quaternion of no numbers": ({"quatern_b": np.nan}, TAKEN, "the qform holds values that are no numbers"),
}


def said(path: Path) -> str:
    return "; ".join(f"{note.code}: {note.message}" for note in read_file(path)[1])


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_the_grid_is_the_one_that_itk_takes(tmp_path: Path, name: str) -> None:
    header, taken, text = CONTRADICTIONS[name]
    path = nifti(tmp_path / "a.nii", VOXELS, **header)
    image, _ = read_file(path)
    assert np.allclose(geometry(image), taken, atol=1e-5)
    assert np.allclose(geometry(image), geometry(sitk.ReadImage(str(path))), atol=1e-5)
    assert np.array_equal(sitk.GetArrayFromImage(image), VOXELS)
    assert re.search(f"^PE-NII-014: .*{text}", said(path)), said(path)


@pytest.mark.parametrize("name", ["sform of 1 mm", "turned, aligned", "sheared", "pixdim of 1"])
def test_nifti_2_follows_the_same_rule(tmp_path: Path, name: str) -> None:
    header, taken, text = CONTRADICTIONS[name]
    path = nifti(tmp_path / "a.nii", VOXELS, two=True, **header)
    assert np.allclose(geometry(read_file(path)[0]), taken, atol=1e-5)
    assert re.search(f"^PE-NII-014: .*{text}", said(path)), said(path)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"s_code": 0},
        {"q_code": 0},
        {"s_code": 0, "sform": TURNED},  # a form that is not coded says nothing
        {"q_code": 0, "qform": TURNED},
        {"qfac": 0},
        {"xyzt_units": 0},
        {"sform": affine((1.5, 1.25, 2.5000003))},
        {"sform": affine(origin=(20.00001, -31.5, 700.25))},
        {"two": True},
    ],
)
def test_rounding_and_unused_fields_are_no_contradiction(tmp_path: Path, header: dict[str, Any]) -> None:
    path = nifti(tmp_path / "a.nii", VOXELS, **header)
    image, notes = read_file(path)
    assert np.allclose(geometry(image), TAKEN, atol=1e-4)
    assert notes == ()


BAD_PIXDIM = [
    {"pixdim": (1.5, 1.25, z), "q_code": q, "s_code": s} for z in (0, -2.5, np.nan) for q in (0, 1) for s in (0, 1)
]
NO_FORM = [
    {"sform": ZERO, "q_code": 0},
    {"sform": np.full((4, 4), np.nan), "q_code": 0},
    {"quatern_b": np.nan, "s_code": 0},
]


@pytest.mark.parametrize("header", [*BAD_PIXDIM, *NO_FORM])
def test_24_a_spacing_that_is_none_is_refused_whatever_itk_makes_of_it(tmp_path: Path, header: dict[str, Any]) -> None:
    with pytest.raises(GeometryError, match="PE-NII-007"):
        read_file(nifti(tmp_path / "a.nii", VOXELS, **header))


def test_numbers_of_nifti_2_that_itk_cannot_hold_are_none(tmp_path: Path) -> None:
    huge = affine()
    huge[2, 2] = -1e300  # of which ITK, in a sform, never comes to an end
    path = nifti(tmp_path / "a.nii", VOXELS, sform=huge, two=True)
    assert np.allclose(geometry(read_file(path)[0]), TAKEN, atol=1e-5)
    assert "the sform holds values that are no numbers" in said(path)
    with pytest.raises(GeometryError, match="PE-NII-007"):
        read_file(nifti(tmp_path / "b.nii", VOXELS, sform=huge, q_code=0, two=True))


@pytest.mark.parametrize(("unit", "mm"), [(1, 1000.0), (3, 0.001)])
@pytest.mark.parametrize(("s_code", "q_code"), [(1, 1), (1, 0), (0, 1)])
def test_other_units_are_taken_as_itk_takes_them(
    tmp_path: Path, unit: int, mm: float, s_code: int, q_code: int
) -> None:
    other = affine()
    other[:3] /= mm
    path = nifti(tmp_path / "a.nii", VOXELS, sform=other, s_code=s_code, qform=other, q_code=q_code, xyzt_units=unit)
    image, notes = read_file(path)
    assert np.allclose(geometry(image), TAKEN, rtol=1e-5, atol=1e-5)
    assert np.allclose(geometry(image), geometry(sitk.ReadImage(str(path))), atol=1e-4)
    assert [note.code for note in notes] == ["PE-NII-008"]
    numbers = ", ".join(f"{value / mm:.5g}" for value in SPACING_MM)
    assert f"spacing 1.5, 1.25, 2.5 mm (by its numbers alone, as nibabel gives them, {numbers}" in notes[0].message


@pytest.mark.parametrize(
    ("slope", "inter", "read"),
    [
        (0, 0, VOXELS),
        (np.nan, np.nan, VOXELS),
        (1, np.nan, VOXELS),
        (1, -1024, VOXELS - 1024),
        (-1, 0, -VOXELS),
        (0.5, 3.25, VOXELS * 0.5 + 3.25),
        (0, -1024, None),
        (np.nan, -1024, None),
        (2, np.inf, None),
    ],
)
def test_scales_of_values(tmp_path: Path, slope: float, inter: float, read: np.ndarray | None) -> None:
    path = nifti(tmp_path / "a.nii", VOXELS, scl_slope=slope, scl_inter=inter)
    if read is None:  # ITK and nibabel do not agree
        with pytest.raises(InputError, match="PE-NII-018"):
            read_file(path)
        return
    assert np.array_equal(sitk.GetArrayFromImage(read_file(path)[0]), read)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), read)


CHANGES = ("none", "scale", "axis", "turn", "mirror", "move")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    mirrored=st.booleans(),
    codes=st.sampled_from([pair for pair in product(range(5), range(5)) if any(pair)]),
    change=st.sampled_from(CHANGES),
    two=st.booleans(),
)
def test_random_headers_against_itk_and_nibabel(
    tmp_path: Path,
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    angles: tuple[float, float, float],
    mirrored: bool,
    codes: tuple[int, int],
    change: str,
    two: bool,
) -> None:
    axes = turned(angles[0]) @ turned(angles[1], "x") @ turned(angles[2]) @ np.diag([-1.0 if mirrored else 1.0, 1, 1])
    qform = affine(spacing, axes, origin)
    sform = {
        "none": qform,
        "scale": affine(np.multiply(spacing, 1.2), axes, origin),
        "axis": affine(np.multiply(spacing, (1, 1, 1.1)), axes, origin),
        "turn": affine(spacing, axes @ turned(7, "y") @ turned(0), origin),
        "mirror": affine(spacing, axes @ np.diag([1.0, -1.0, 1.0]), origin),
        "move": affine(spacing, axes, np.add(origin, 2)),
    }[change]
    s_code, q_code = codes
    header = {"sform": sform, "s_code": s_code, "qform": qform, "q_code": q_code}
    path = nifti(tmp_path / "a.nii", VOXELS, **header)
    by_itk = geometry(sitk.ReadImage(str(path)))
    by_nibabel = geometry_of_affine(nib.load(path).affine)
    image, notes = read_file(nifti(path, VOXELS, two=two, **header))  # of NIfTI-2, which ITK cannot read, the same
    # a quaternion near half a turn loses digits, and ITK takes it for equal to the sform up to 1e-4
    assert np.allclose(geometry(image), by_itk, atol=1e-3)
    differ = change in {"scale", "axis"} if q_code == 0 else s_code > 0 and change != "none"
    assert [note.code for note in notes] == (["PE-NII-014"] if differ and s_code > 0 else [])
    if not notes:
        assert np.allclose(geometry(image), by_nibabel, atol=2e-3)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_a_header_and_its_voxels_in_two_files(tmp_path: Path, kind: type) -> None:
    nib.save(kind(VOXELS.T, affine()), tmp_path / "a.img")
    (tmp_path / "b.hdr").write_text("ENVI\nsamples = 6")  # of another format, without an .img
    (ref,) = find_scans(tmp_path)
    assert (ref.case_id, ref.path.name) == ("a", "a.hdr")
    image, notes = read_file(ref.path)
    assert np.allclose(geometry(image), TAKEN)
    assert np.array_equal(sitk.GetArrayFromImage(image), VOXELS)
    assert notes == ()
    before = file_sha256(ref.path)
    nib.save(kind(VOXELS.T + 1, affine()), tmp_path / "a.img")
    assert file_sha256(ref.path) != before
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match=r"PE-IN-002.*a\.img, named in a\.hdr"):
        read_file(ref.path)


def test_analyze_is_refused_for_it_knows_no_left_and_right(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(VOXELS.T, affine()), tmp_path / "a.img")
    with pytest.raises(InputError, match=r"PE-IN-003.*Analyze 7\.5"):
        read_file(tmp_path / "a.hdr")
