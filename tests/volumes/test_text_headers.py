"""NRRD and MetaImage headers: what ITK passes over, or reads otherwise than the format says, is noted or refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import read_file
from tests.volumes.headers import geometry, meta_image, nrrd, turned

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
SIZE = "space directions: (1.5,0,0) (0,1.25,0) (0,0,2.5)"
ORIGIN = "space origin: (10,20,30)"
SPACINGS = "spacings: 1.5 1.25 2.5"
PLAIN = np.array([1.5, 1.25, 2.5, 10, 20, 30, *np.eye(3).ravel()])
AT_ZERO = np.array([1.5, 1.25, 2.5, 0, 0, 0, *np.eye(3).ravel()])
RAS = np.array([1.5, 1.25, 2.5, -10, -20, 30, *np.diag([-1, -1, 1]).ravel()])
LAS = np.array([1.5, 1.25, 2.5, 10, -20, 30, *np.diag([1, -1, 1]).ravel()])
FLIPPED = np.array([2.5, 1.25, 1.5, 10, 20, 30, *np.fliplr(np.eye(3)).ravel()])

NRRD_READ = [
    (["space: left-posterior-superior", SIZE, ORIGIN], PLAIN, ""),
    (["space: LPS", SIZE, ORIGIN, 'space units: "mm" "mm" "mm"'], PLAIN, ""),
    (["space: right-anterior-superior", SIZE, ORIGIN], RAS, ""),
    (["space: RAS", SIZE, ORIGIN], RAS, ""),
    (["space: Left-Anterior-Superior", SIZE, ORIGIN], LAS, ""),
    (["space: LPS", "space directions: (0,0,2.5) (0,1.25,0) (1.5,0,0)", ORIGIN], FLIPPED, ""),
    (["space: scanner-xyz", SIZE, ORIGIN], PLAIN, "PE-NII-012: space scanner-xyz"),
    (["space: 3D-left-handed", SIZE, ORIGIN], PLAIN, "PE-NII-012: space 3D-left-handed"),
    (["space dimension: 3", SIZE, ORIGIN], PLAIN, "PE-NII-012: no orientation"),
    ([SPACINGS], AT_ZERO, "PE-NII-012: no orientation"),
    ([SPACINGS, "axis mins: 0 0 0", "axis maxs: 9 6.25 10", "centers: node node node"], AT_ZERO, "PE-NII-014: .* 1.8"),
]  # fmt: skip
NRRD_REFUSED = [
    (["space: LPS", SPACINGS], "PE-NII-015.*spacings without directions"),
    (["space: RAI", SIZE, ORIGIN], "PE-NII-015.*'RAI'"),
    (["axis mins: 10 20 30", "axis maxs: 19 26.25 40"], r"PE-NII-015.*they are 1\.5, 1\.25, 2\.5"),
    ([SPACINGS, 'units: "cm" "cm" "cm"'], "PE-NII-015.*in cm"),
    (["space: LPS", SIZE, ORIGIN, 'space units: "um" "um" "um"'], "PE-NII-015.*in um"),
    (["space: LPS", "space directions: (1.5,0,0) none (0,0,2.5)", ORIGIN], "PE-NII-015.*2 axes"),
    ([SIZE, ORIGIN], "PE-NII-015.*does not name"),
    (["spacings: 1.5 1.25 -2.5"], "PE-NII-007"),
    (["spacings: 1.5 nan 2.5"], "PE-NII-007"),
    (["spacings: 1.5 1.25 0"], "PE-NII-007"),
    (["space: LPS", "space directions: (1.5,0,0) (0,0,0) (0,0,2.5)", ORIGIN], "PE-NII-007"),
    (["space: LPS", "space directions: (1.5,0,0) (0.3,1.25,0) (0,0,2.5)", ORIGIN], "PE-NII-006"),
    (["space: LPS", SIZE, ORIGIN, "kinds: domain domain time"], "PE-NII-001"),
    (["space: LPS", SIZE, ORIGIN, "byte skip: 2"], "PE-NII-015.*byteskip '2'"),
    (["space: LPS", SIZE, ORIGIN, "byteskip: -1"], "PE-NII-015.*byteskip '-1'"),
    (["space: LPS", SIZE, ORIGIN, "line skip: 1"], "PE-NII-015.*lineskip '1'"),
    (["space: LPS", SIZE, ORIGIN, "content: a\x1a"], "PE-NII-015.*no part of one"),
    (["space: LPS", SIZE, ORIGIN, "key:=1", "key:=2"], "PE-NII-015.*'1' and '2'"),
]


def said(notes: tuple) -> str:
    return "; ".join(f"{note.code}: {note.message}" for note in notes)


def check_read(path: Path, expected: np.ndarray, note: str) -> None:
    image, notes = read_file(path)
    assert np.allclose(geometry(image), expected)
    assert np.allclose(geometry(image)[:6], geometry(sitk.ReadImage(str(path)))[:6])
    assert np.array_equal(sitk.GetArrayFromImage(image), VOXELS)
    if note:
        assert re.search(note, said(notes)), said(notes)
    else:
        assert notes == ()


@pytest.mark.parametrize(("lines", "expected", "note"), NRRD_READ, ids=lambda value: str(value)[:40])
def test_nrrd_spaces(tmp_path: Path, lines: list[str], expected: np.ndarray, note: str) -> None:
    path = nrrd(tmp_path / "a.nrrd", VOXELS, lines)
    check_read(path, expected, note)
    codes = {found.code for found in read_file(path)[1]}
    assert codes == (set() if not note else {"PE-NII-012", "PE-NII-014"} if "mins" in str(lines) else {"PE-NII-012"})


@pytest.mark.parametrize(("lines", "message"), NRRD_REFUSED, ids=lambda value: str(value)[:40])
def test_nrrd_headers_that_itk_reads_otherwise(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_file(nrrd(tmp_path / "a.nrrd", VOXELS, lines))


def test_an_nrrd_header_beside_a_raw_file_may_skip_what_is_before_the_voxels(tmp_path: Path) -> None:
    lines = ["space: LPS", SIZE, ORIGIN, "line skip: 1", "byte skip: 3", "data file: a.raw"]
    path = nrrd(tmp_path / "a.nrrd", VOXELS, lines)
    header = path.read_bytes()[: -VOXELS.nbytes]
    for skips, content in ((b"line skip: 1\nbyte skip: 3", b"a line\nabc"), (b"byte skip: -1", b"a line\nabcdef")):
        path.write_bytes(header.replace(b"line skip: 1\nbyte skip: 3", skips))
        (tmp_path / "a.raw").write_bytes(content + VOXELS.tobytes())
        check_read(path, PLAIN, "")


def test_the_same_key_and_value_twice_say_nothing_else(tmp_path: Path) -> None:
    lines = ["space: LPS", SIZE, ORIGIN, "key:=1", "key:=1"]
    check_read(nrrd(tmp_path / "a.nrrd", VOXELS, lines), PLAIN, "")


@pytest.mark.parametrize("last", [False, True])
def test_a_list_of_one_value_before_or_behind_the_axes_of_space(tmp_path: Path, last: bool) -> None:
    of_space = "(1.5,0,0) (0,1.25,0) (0,0,2.5)"
    directions = f"{of_space} none" if last else f"none {of_space}"
    kinds = "domain domain domain list" if last else "list domain domain domain"
    voxels = VOXELS[None] if last else VOXELS[..., None]
    lines = ["space: LPS", f"space directions: {directions}", f"kinds: {kinds}", ORIGIN]
    check_read(nrrd(tmp_path / "a.nrrd", voxels, lines), PLAIN, "")


MATRIX, OFFSET, ELEMENTS = "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 10 20 30", "ElementSpacing = 1.5 1.25 2.5"
MIRRORED = np.array([*PLAIN[:6], *np.diag([-1, 1, 1]).ravel()])
META_READ = [
    ([MATRIX, OFFSET, ELEMENTS, "AnatomicalOrientation = RAI"], PLAIN, ""),
    ([MATRIX, OFFSET, ELEMENTS, "AnatomicalOrientation = ???"], PLAIN, ""),
    ([MATRIX, OFFSET, ELEMENTS, "DistanceUnits = mm"], PLAIN, ""),
    (["TransformMatrix = -1 0 0 0 1 0 0 0 1", OFFSET, ELEMENTS, "AnatomicalOrientation = LAI"], MIRRORED, ""),
    (
        ["TransformMatrix = -1 0 0 0 1 0 0 0 1", OFFSET, ELEMENTS, "AnatomicalOrientation = RAI"],
        MIRRORED,
        "tion RAI says",
    ),
    ([MATRIX, OFFSET, ELEMENTS, "AnatomicalOrientation = ARI"], PLAIN, "Orientation ARI says otherwise"),
    (["TransformMatrix = 2 0 0 0 2 0 0 0 2", OFFSET, ELEMENTS], PLAIN, "TransformMatrix it is 3, 2.5, 5 mm"),
    ([OFFSET, ELEMENTS], PLAIN, "no orientation"),
]
META_REFUSED = [
    ([MATRIX, OFFSET, "ElementSpacing = 1.5 1.25 -2.5"], "PE-NII-007"),
    ([MATRIX, OFFSET, "ElementSpacing = 1.5 1.25 0"], "PE-NII-007"),
    ([MATRIX, OFFSET, "ElementSpacing = 1.5 nan 2.5"], "PE-NII-007"),
    (["TransformMatrix = 1 0 0 0.2 0.98 0 0 0 1", OFFSET, ELEMENTS], "PE-NII-006"),
    (["TransformMatrix = 0 0 0 0 0 0 0 0 0", OFFSET, ELEMENTS], "PE-NII-006"),
    ([MATRIX, OFFSET, ELEMENTS, "DistanceUnits = um"], "PE-NII-015.*in um"),
    ([MATRIX, OFFSET, ELEMENTS, "ElementToIntensityFunctionOffset = -1024"], "PE-NII-015.*-1024"),
    ([MATRIX, OFFSET, ELEMENTS, "compressedData = False"], "PE-NII-015.*'CompressedData'"),  # MetaIO passes over it
]


@pytest.mark.parametrize(("lines", "expected", "note"), META_READ, ids=lambda value: str(value)[:60])
def test_meta_images(tmp_path: Path, lines: list[str], expected: np.ndarray, note: str) -> None:
    path = meta_image(tmp_path / "a.mha", VOXELS, lines)
    check_read(path, expected, note)
    code = "PE-NII-012" if "no orientation" in note else "PE-NII-014"
    assert [found.code for found in read_file(path)[1]] == ([code] if note else [])


@pytest.mark.parametrize(("lines", "message"), META_REFUSED, ids=lambda value: str(value)[:60])
def test_meta_images_that_itk_reads_otherwise(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_file(meta_image(tmp_path / "a.mha", VOXELS, lines))
    assert raised.value.code in {"PE-NII-006", "PE-NII-007", "PE-NII-015"}


AXES = st.tuples(*[st.floats(-180, 180)] * 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    angles=AXES,
    order=st.permutations(range(3)),
    mirrored=st.booleans(),
    space=st.sampled_from([("LPS", (1, 1, 1)), ("RAS", (-1, -1, 1)), ("left-anterior-superior", (1, -1, 1))]),
)
def test_random_grids_by_the_definition_and_by_itk(
    tmp_path: Path,
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    angles: tuple[float, float, float],
    order: list[int],
    mirrored: bool,
    space: tuple[str, tuple[int, int, int]],
) -> None:
    axes = (turned(angles[0]) @ turned(angles[1], "x") @ turned(angles[2], "y"))[:, order]
    axes = axes @ np.diag([-1.0 if mirrored else 1.0, 1, 1])
    expected = np.array([*spacing, *origin, *axes.ravel()])
    to_space = np.diag(space[1])
    vectors = [",".join(f"{v:.17g}" for v in to_space @ axes[:, k] * spacing[k]) for k in range(3)]
    start = ",".join(f"{v:.17g}" for v in to_space @ origin)
    directions = " ".join(f"({v})" for v in vectors)
    lines = [f"space: {space[0]}", f"space directions: {directions}", f"space origin: ({start})"]
    check_random(nrrd(tmp_path / "a.nrrd", VOXELS, lines), expected)
    numbers = {"TransformMatrix": axes.T.ravel().tolist(), "Offset": origin, "ElementSpacing": spacing}
    lines = [f"{name} = {' '.join(map(repr, values))}" for name, values in numbers.items()]
    check_random(meta_image(tmp_path / "a.mha", VOXELS, lines), expected)
    written = sitk.GetImageFromArray(VOXELS)
    written.SetSpacing(spacing)
    written.SetOrigin(origin)
    written.SetDirection(axes.ravel().tolist())
    for name in ("b.mha", "b.nrrd"):  # its letters of the orientation are no contradiction
        sitk.WriteImage(written, str(tmp_path / name))
        check_random(tmp_path / name, expected)


def check_random(path: Path, expected: np.ndarray) -> None:
    image, notes = read_file(path)
    assert notes == ()
    assert np.allclose(geometry(image), expected, atol=1e-6)
    assert np.allclose(geometry(image), geometry(sitk.ReadImage(str(path))), atol=1e-6)
    assert np.array_equal(sitk.GetArrayFromImage(image), VOXELS)


@pytest.mark.parametrize("origin", ["", "space origin: (nan,nan,nan)", "space origin: (10,20,inf)"])
def test_an_origin_that_is_lost_is_said(tmp_path: Path, origin: str) -> None:
    path = tmp_path / "a.nrrd"
    nrrd(path, VOXELS, ["space: LPS", SIZE, *([origin] if origin else [])])
    if origin:
        with pytest.raises(InputError, match=r"PE-NII-015.*origin"):
            read_file(path)
        return
    image, notes = read_file(path)
    assert image.GetOrigin() == (0, 0, 0)
    assert "PE-NII-012: no origin" in said(notes)


def test_a_meta_image_without_or_with_a_broken_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing((1.5, 1.25, 2.5))
    sitk.WriteImage(image, str(path))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Offset = 0 0 0\n", b""))
    assert "PE-NII-012: no origin" in said(read_file(path)[1])
    path.write_bytes(content.replace(b"Offset = 0 0 0", b"Offset = nan 0 0"))
    with pytest.raises(InputError, match=r"PE-NII-015.*origin nan"):
        read_file(path)
