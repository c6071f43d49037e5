"""Contours of an RTSTRUCT as programs in the field write them: each gives its voxels, or a line that says why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from scipy import ndimage

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes import Scan, ScanRef, read_dicom_label
from pe_nnunet.volumes.scan import DicomInfo

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of what it writes here on purpose

ROWS, COLUMNS, SLICES = 24, 30, 8
FRAME = "1.2.3.4"
Corners = Sequence[tuple[float, float]]  # x, y in pixels


def scan_of(
    spacing: Sequence[float] = (0.7, 0.8, 2.5),
    origin: Sequence[float] = (-101.37, 44.061, -812.5),
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
) -> Scan:
    image = sitk.Image(COLUMNS, ROWS, SLICES, sitk.sitkInt16)
    for setter, values in ((image.SetSpacing, spacing), (image.SetOrigin, origin), (image.SetDirection, direction)):
        setter([float(value) for value in values])
    dicom = DicomInfo("1", "2", FRAME, "3", (), (), "")
    return Scan("a", image, ScanRef("a", "dicom", Path(), ()), (), dicom, "")


def item(kind: str | None, data: Any = None, points: int | None = None) -> pydicom.Dataset:
    """A contour with numbers, or with bytes that need not be any."""
    contour = pydicom.Dataset()
    if kind is not None:
        contour.ContourGeometricType = kind
    if isinstance(data, bytes):
        tag = pydicom.tag.Tag("ContourData")
        contour[tag] = RawDataElement(tag, "DS", len(data), data, 0, False, True)  # written as it is
    elif data is not None:
        contour.ContourData = data
    if points is not None:
        contour.NumberOfContourPoints = points
    return contour


def drawn(
    scan: Scan, z: float, corners: Corners, kind: str | None = "CLOSED_PLANAR", *, decimals: int = 4
) -> pydicom.Dataset:
    points = [scan.image.TransformContinuousIndexToPhysicalPoint((float(x), float(y), float(z))) for x, y in corners]
    return item(kind, [f"{value:.{decimals}f}" for point in points for value in point], len(points))


def box(x: tuple[float, float], y: tuple[float, float]) -> list[tuple[float, float]]:
    """Corners of a rectangle."""
    return [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]


def around(x: tuple[int, int], y: tuple[int, int]) -> list[tuple[float, float]]:
    """A rectangle along the edges of the pixels from the first to the last."""
    return box((x[0] - 0.5, x[1] + 0.5), (y[0] - 0.5, y[1] + 0.5))


Read = Callable[..., tuple[np.ndarray, tuple[Note, ...]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return lambda scan, regions, **how: read_regions(tmp_path / "r.dcm", scan, regions, **how)


def read_regions(
    path: Path,
    scan: Scan,
    regions: Iterable[tuple[int | None, str, int | None, Iterable[pydicom.Dataset] | None]],
    *,
    names: str | None = None,
    edit: Callable[[pydicom.Dataset], None] | None = None,
) -> tuple[np.ndarray, tuple[Note, ...]]:
    """Write regions (ROINumber, name, ReferencedROINumber, contours), and read them."""
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StructureSetROISequence, ds.ROIContourSequence = pydicom.Sequence(), pydicom.Sequence()
    for number, name, refers_to, contours in regions:
        roi, region = pydicom.Dataset(), pydicom.Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, FRAME
        if refers_to is not None:
            region.ReferencedROINumber = refers_to
        if contours is not None:
            region.ContourSequence = pydicom.Sequence(contours)
        ds.StructureSetROISequence.append(roi)
        ds.ROIContourSequence.append(region)
    if edit is not None:
        edit(ds)
    ds.save_as(path, enforce_file_format=True)
    label, notes = read_dicom_label(path, scan, names=names)
    assert label.GetOrigin() == scan.image.GetOrigin()
    return sitk.GetArrayFromImage(label), notes


def one(*contours: pydicom.Dataset) -> list[Any]:
    return [(1, "embolus", 1, contours)]


def said(notes: Iterable[Note], code: str) -> str:
    (text,) = [note.message for note in notes if note.code == code]
    return text


RING = [around((3, 20), (2, 18)), around((8, 12), (6, 9))]
HOLLOW = 18 * 17 - 5 * 4


def test_exclusive_disjunction_in_every_spelling(read: Read) -> None:
    scan = scan_of()
    for kind in ("CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR", "closedplanar_xor"):
        mask, notes = read(scan, one(*(drawn(scan, 3, corners, kind) for corners in RING)))
        assert mask[3].sum() == mask.sum() == HOLLOW
        assert not mask[3, 6:10, 8:13].any()
        assert [note.code for note in notes] == ([] if kind == "CLOSEDPLANAR_XOR" else ["PE-SEG-006"])
    island = drawn(scan, 3, around((10, 10), (7, 8)), "CLOSEDPLANAR_XOR")
    mask, _ = read(scan, one(*(drawn(scan, 3, corners, "CLOSEDPLANAR_XOR") for corners in RING), island))
    assert mask.sum() == HOLLOW + 2
    overlapping = [drawn(scan, 3, around(x, (2, 5)), "CLOSEDPLANAR_XOR") for x in ((1, 4), (3, 6))]
    assert read(scan, one(*overlapping))[0][3, 2:6, :8].tolist() == [[0, 1, 1, 0, 0, 1, 1, 0]] * 4


def test_both_kinds_on_one_slice_are_combined_in_their_order(read: Read) -> None:
    scan = scan_of()
    outer, inner = (drawn(scan, 3, RING[0]), drawn(scan, 3, RING[1], "CLOSEDPLANAR_XOR"))
    mask, notes = read(scan, one(outer, inner))
    assert mask.sum() == HOLLOW
    assert "together on 1 slices: combined in the order stored" in said(notes, "PE-SEG-006")
    mask, _ = read(scan, one(inner, outer))
    assert mask.sum() == 18 * 17


def test_closed_contours_are_united(read: Read) -> None:
    scan = scan_of()
    left, right = drawn(scan, 3, around((2, 12), (2, 12))), drawn(scan, 3, around((8, 22), (2, 12)))
    mask, notes = read(scan, one(left, right))
    assert (mask.sum(), notes) == (21 * 11, ())
    again = [around((2, 12), (2, 12))[::-1], box((1.6, 12.4), (1.6, 12.4))]  # the other way round, and a little inside
    mask, notes = read(scan, one(left, left, *(drawn(scan, 3, corners, decimals=2) for corners in again)))
    assert (mask.sum(), notes) == (11 * 11, ())


def test_a_contour_within_another_is_a_hole_and_said(read: Read) -> None:
    scan = scan_of()
    ring = [drawn(scan, 3, corners) for corners in RING]
    mask, notes = read(scan, one(*ring))
    assert mask.sum() == HOLLOW
    assert said(notes, "PE-SEG-006").startswith("region 'embolus': 1 CLOSED_PLANAR contours lie wholly within another")
    mask, _ = read(scan, one(ring[1], drawn(scan, 3, around((10, 10), (7, 8))), ring[0], ring[0], ring[1]))
    assert mask.sum() == HOLLOW + 2
    # another contour, from outside, fills what it covers of the hole; a hole within two contours is that of both
    assert read(scan, one(*ring, drawn(scan, 3, around((12, 25), (5, 7)))))[0].sum() == HOLLOW + 2 + 15
    assert read(scan, one(*ring, drawn(scan, 3, around((1, 16), (1, 15)))))[0].sum() == HOLLOW + 16 * 15 - 14 * 14


@pytest.mark.parametrize("smaller", [0.3, 0.5, 1.0, 2.0])
def test_an_embolus_drawn_again_a_little_smaller_stays_whole(read: Read, smaller: float) -> None:
    scan, angles = scan_of(), np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    outer, again = ([*map(tuple, circle * radius + (14.2, 11.7))] for radius in (5, 5 - smaller))
    y, x = np.mgrid[:ROWS, :COLUMNS]
    disc = Polygon(outer).contains_points(np.column_stack([x.ravel(), y.ravel()])).reshape(ROWS, COLUMNS)
    for contours in ((outer, again), (again, outer)):
        mask, notes = read(scan, one(*(drawn(scan, 3, corners) for corners in contours)))
        assert np.array_equal(mask[3], disc)
        assert said(notes, "PE-SEG-006").startswith("region 'embolus': 1 CLOSED_PLANAR contours within another one")


SQUARE = around((2, 21), (2, 21))  # 20 x 20


@pytest.mark.parametrize(
    ("contours", "voxels", "said_of"),
    [
        ([SQUARE, around((2, 11), (2, 11))], 400, "1 united"),  # along two edges
        ([SQUARE, box((1.8, 21.2), (1.8, 21.2))], 400, "1 united"),  # 0.3 pixels within
        ([SQUARE, around((3, 8), (8, 11))], 400, "1 united"),  # a rim of one pixel on one side
        ([SQUARE, around((4, 8), (8, 11))], 400 - 5 * 4, "1 holes"),  # of two pixels
        ([SQUARE, around((4, 19), (4, 19))], 400, "1 united"),  # of two all round: 64 % of the square
        ([SQUARE, around((5, 18), (5, 18))], 400 - 14 * 14, "1 holes"),  # 49 % of it
        ([around((2, 27), (2, 21)), around((4, 13), (4, 19)), around((16, 25), (4, 19))], 520, "2 united"),  # 62 %
        ([SQUARE, box((1.8, 21.2), (1.8, 21.2)), around((6, 9), (6, 9))], 400 - 16, "1 holes 1 united"),
        ([SQUARE, around((6, 9), (6, 9)), box((6, 9), (6, 9))], 400, "1 holes 1 united"),  # the hole drawn twice
        ([SQUARE, box((3, 20), (3, 20)), box((4.5, 18.5), (4.5, 18.5))], 400, "2 united"),  # drawn three times
        ([box((3, 20), (2, 18)), box((4, 19), (3, 17))], 18 * 17, "1 united"),  # two pixels, through their centres
        ([box((3, 20), (2, 18)), box((5, 18), (4, 16))], 18 * 17 - 12 * 11, "1 holes"),  # three pixels
    ],
)
def test_what_is_clearly_a_hole(read: Read, contours: list[Corners], voxels: int, said_of: str) -> None:
    scan = scan_of()
    mask, notes = read(scan, one(*(drawn(scan, 3, corners) for corners in contours)))
    assert mask.sum() == voxels
    texts = [note.message for note in notes if note.code == "PE-SEG-006"]
    kinds = [f"{text.split()[2]} {'united' if 'united' in text else 'holes'}" for text in texts]
    assert " ".join(kinds) == said_of


def test_a_hole_by_a_channel_and_what_fills_it(read: Read) -> None:
    scan = scan_of()
    keyhole = [*RING[0], RING[0][0], *RING[1][::-1], RING[1][-1]]
    for corners in (keyhole, [*RING[0], RING[0][0], *RING[1], RING[1][0]]):
        mask, notes = read(scan, one(drawn(scan, 3, corners)))
        assert (mask.sum(), mask[3, 6:10, 8:13].any(), notes) == (HOLLOW, False, ())
    mask, notes = read(scan, one(drawn(scan, 3, keyhole), drawn(scan, 3, RING[1])))
    assert (mask.sum(), notes) == (18 * 17, ())


@pytest.mark.parametrize("decimals", [1, 2, 4, 12])
def test_points_on_the_path_belong_to_the_region(read: Read, decimals: int) -> None:
    """Through the centres of border voxels, as rt-utils and OpenCV draw: the hole's path lies in what surrounds it."""
    scan = scan_of()
    outer, hole = box((3, 20), (2, 18)), [(7, 6), (8, 5), (12, 5), (13, 6), (13, 9), (12, 10), (8, 10), (7, 9)]
    for kind in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
        mask, _ = read(scan, one(*(drawn(scan, 3, corners, kind, decimals=decimals) for corners in (outer, hole))))
        assert mask.sum() == HOLLOW
    thin = [drawn(scan, 3, corners, decimals=decimals) for corners in ([(5, 5)], [(8, 5), (11, 8)], [(1, 1), (1, 6)])]
    mask, _ = read(scan, one(*thin))
    assert np.argwhere(mask[3]).tolist() == sorted(
        [[5, 5], [5, 8], [6, 9], [7, 10], [8, 11], *([row, 1] for row in range(1, 7))]
    )


def test_masks_come_back_from_their_border_voxels(read: Read) -> None:
    """Random masks with holes and islands, traced by OpenCV."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(5)
    for nested in (False, True) * 6:
        direction, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        scan = scan_of(rng.uniform(0.5, 3, 3), rng.uniform(-300, 300, 3), direction.ravel())
        mask = np.zeros((ROWS, COLUMNS), np.uint8)
        for fill in (1, 1, 0, 1, 0, 1):
            centre = (int(rng.integers(COLUMNS)), int(rng.integers(ROWS)))
            cv2.circle(mask, centre, int(rng.integers(0, 9)), fill, -1)
        if nested:
            mask[:] = 0
            for radius, fill in ((10, 1), (5, 0), (1, 1)):
                cv2.circle(mask, (14 + int(rng.integers(2)), 11 + int(rng.integers(2))), radius, fill, -1)
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found, notes = read(scan, one(*(drawn(scan, 2, outline[:, 0], decimals=2) for outline in outlines)))
        filled = any("united" in note.message for note in notes)  # holes with a thin rim
        assert (found[2] >= mask).all()
        assert (found[2] <= (ndimage.binary_fill_holes(mask) if filled else mask)).all()
        assert not (nested and filled)
        assert not nested or "1 CLOSED_PLANAR contours lie wholly within" in said(notes, "PE-SEG-006")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_polygons_on_random_grids(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Held against matplotlib, in the patient's space: a voxel within one of the polygons, or near to a path."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    direction, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    scan = scan_of(rng.uniform(0.4, 3, 3), rng.uniform(-500, 500, 3), direction.ravel())
    z = data.draw(st.integers(0, SLICES - 1))
    polygons = []
    for _ in range(data.draw(st.integers(1, 3))):
        angles = np.sort(rng.uniform(0, 2 * np.pi, data.draw(st.integers(3, 12))))
        radii, centre = rng.uniform(2, 14, len(angles)), rng.uniform((0, 0), (COLUMNS, ROWS))
        polygons.append(centre + np.column_stack([np.cos(angles), np.sin(angles)]) * radii[:, None])
    path = tmp_path_factory.mktemp("rt") / "r.dcm"
    found, notes = read_regions(path, scan, one(*(drawn(scan, z, polygon) for polygon in polygons)))
    if any("read as holes" in note.message for note in notes):
        return  # held against known values above
    y, x = np.mgrid[:ROWS, :COLUMNS]
    to_mm = np.array(scan.image.GetDirection()).reshape(3, 3)[:, :2] * np.array(scan.image.GetSpacing()[:2])
    u, v = to_mm[:, 0] / np.linalg.norm(to_mm[:, 0]), to_mm[:, 1] / np.linalg.norm(to_mm[:, 1])
    pixels_mm = np.column_stack([x.ravel(), y.ravel()]) @ to_mm.T @ np.column_stack([u, v])
    corners_mm = [polygon @ to_mm.T @ np.column_stack([u, v]) for polygon in polygons]
    inside = np.any([Polygon(corners).contains_points(pixels_mm) for corners in corners_mm], axis=0)
    near = np.any([_near(corners, pixels_mm) for corners in corners_mm], axis=0)
    assert np.array_equal(found[z].ravel()[~near], inside[~near])
    assert not np.delete(found, z, axis=0).any()


def _near(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points lie within 0.01 mm of the lines that the edges lie on."""
    runs = np.roll(corners, -1, axis=0) - corners
    away = points[:, None] - corners
    return np.any(np.abs(runs[:, 0] * away[..., 1] - runs[:, 1] * away[..., 0]) < 0.01 * np.hypot(*runs.T), axis=1)


def test_contours_of_other_kinds_are_read_or_said(read: Read) -> None:
    scan = scan_of()
    square = around((3, 6), (2, 4))
    kinds = ["INTERPOLATED_PLANAR", "CLOSED_PLANAR_INTERPOLATED", "Closed Planar", "POINT", "OPEN_PLANAR"]
    kinds += ["OPEN_PLANAR", "OPEN_NONPLANAR", "CLOSED_NONPLANAR", "SPLINE", None, ""]
    contours = [drawn(scan, 1, square[:1] if kind == "POINT" else square, kind) for kind in kinds]
    for k, kind in enumerate(kinds):
        mask, notes = read(scan, one(contours[k]))
        closed = k < 3
        assert mask.sum() == (12 if closed else 0)
        text = said(notes, "PE-SEG-006" if closed else "PE-SEG-005")
        assert text.startswith("region 'embolus': ")
        assert (repr(kind) if closed else kind or "without ContourGeometricType") in text
    _, notes = read(scan, one(*contours))
    text = (
        "left out 8 of 11 contours: 1 POINT, 2 OPEN_PLANAR, 1 OPEN_NONPLANAR, 1 CLOSED_NONPLANAR, 1 SPLINE, 2 without"
    )
    assert text in said(notes, "PE-SEG-005")


def test_items_without_usable_data_are_left_out(read: Read) -> None:
    scan = scan_of()
    good = drawn(scan, 1, around((3, 6), (2, 4)))
    bad = {
        "without ContourData": [item("CLOSED_PLANAR"), item("CLOSED_PLANAR", []), item("CLOSED_PLANAR", b"", 0)],
        "with 4 numbers, which are no triplets": [item("CLOSED_PLANAR", [1, 2, 3, 4])],
        "with 1 numbers, which are no triplets": [item("CLOSED_PLANAR", [1])],
        "with values that are no numbers": [
            item("CLOSED_PLANAR", text)
            for text in (b"a\\1\\2 ", b"1\\nan\\2", b"1\\\\2 ", b"1,5\\2\\3 ", b"inf\\2\\3 ")
        ],
    }
    for reason, contours in bad.items():
        mask, notes = read(scan, one(good, *contours))
        assert mask.sum() == 12
        expected = f"region 'embolus': left out {len(contours)} of {len(contours) + 1} contours: "
        assert said(notes, "PE-SEG-005") == expected + f"{len(contours)} CLOSED_PLANAR {reason}"


def test_more_points_than_an_explicit_value_holds(read: Read) -> None:
    """Beyond 64 KiB the data are written as of unknown representation (PS3.5, 6.2.2)."""
    angles = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    circle = np.column_stack([15 + 9.3 * np.cos(angles), 12 + 9.3 * np.sin(angles)])
    mask, notes = read(scan_of(), one(drawn(scan_of(), 1, circle)))
    y, x = np.mgrid[:ROWS, :COLUMNS]
    assert np.array_equal(mask[1] > 0, np.hypot(x - 15, y - 12) < 9.3)
    assert notes == ()


def test_a_number_of_points_that_differs(read: Read) -> None:
    scan = scan_of()
    contour = drawn(scan, 1, around((3, 6), (2, 4)))
    contour.NumberOfContourPoints = 3
    mask, notes = read(scan, one(contour))
    assert mask.sum() == 12
    assert "NumberOfContourPoints of 1 contours differs" in said(notes, "PE-SEG-006")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(3, 3, 2.5), (6, 3, 2.5), (6, 6, 2.5)], "1 of 2 contours do not .*: 1 lie between two slices"),
        ([(3, 3, 8), (6, 3, 8), (6, 6, 8)], "1 of 2 contours do not .*: 1 lie beyond the first or the last slice"),
        (
            [(3, 3, 1), (3, 6, 1), (3, 6, 4), (3, 3, 4)],
            "1 of 2 contours do not .*: 1 lie across the slices, as sagittal",
        ),
        ([(3, 3, 1e9), (3, 6, 1e9), (3, 6, 1e9)], "1 of 2 contours do not .*: 1 lie beyond"),
    ],
)
def test_contours_off_the_slices_are_counted(read: Read, points: list[Any], message: str) -> None:
    scan = scan_of()
    at = [scan.image.TransformContinuousIndexToPhysicalPoint(list(map(float, point))) for point in points]
    off = item("CLOSED_PLANAR", [f"{value:.8g}" for point in at for value in point])
    with pytest.raises(InputError, match=f"PE-SEG-004: r.dcm: {message}"):
        read(scan, one(drawn(scan, 1, around((3, 6), (2, 4))), off))


def test_positions_rounded_to_a_tenth_of_a_millimetre_lie_on_their_slices(read: Read) -> None:
    scan = scan_of((0.7, 0.7, 0.625), (-101.37, 44.061, -812.53))
    contours = [drawn(scan, z, around((3, 6), (2, 4)), decimals=1) for z in range(SLICES)]
    mask, notes = read(scan, one(*contours))
    assert (mask.sum(axis=(1, 2)).tolist(), notes) == ([12] * SLICES, ())


def test_contours_beyond_the_image_are_cut_off(read: Read) -> None:
    scan = scan_of()
    inside, edge = around((0, 6), (0, 4)), around((-5, 6), (-9, 4))
    mask, notes = read(scan, one(drawn(scan, 1, inside)))
    assert (mask.sum(), notes) == (35, ())
    mask, notes = read(
        scan, one(drawn(scan, 1, edge), drawn(scan, 2, inside), drawn(scan, 3, box((-1e7, 1e7), (2, 3))))
    )
    assert mask.sum(axis=(1, 2)).tolist() == [0, 35, 35, 2 * COLUMNS, 0, 0, 0, 0]
    assert "2 of 3 contours reach beyond the edge of the image" in said(notes, "PE-SEG-007")
    mask, notes = read(scan, one(drawn(scan, 1, around((40, 50), (2, 4)))))
    assert not mask.any()
    assert [note.code for note in notes] == ["PE-SEG-007", "PE-SEG-007"]


def test_slices_without_a_contour_are_said(read: Read) -> None:
    scan = scan_of()
    square, aside = around((3, 6), (2, 4)), around((13, 16), (2, 4))
    mask, notes = read(scan, one(*(drawn(scan, z, square) for z in (0, 2, 4))))
    assert mask.sum(axis=(1, 2)).tolist() == [12, 0, 12, 0, 12, 0, 0, 0]
    assert "2 slices have no contour, though those on either side have (3 have one)" in said(notes, "PE-SEG-007")
    assert read(scan, one(drawn(scan, 0, square), drawn(scan, 4, aside)))[1] == ()  # two emboli
    assert read(scan, one(drawn(scan, 0, square), drawn(scan, 7, square)))[1] == ()  # 17.5 mm apart


def test_numbers_of_regions(read: Read) -> None:
    scan = scan_of()
    square, other = drawn(scan, 1, around((3, 6), (2, 4))), drawn(scan, 1, around((10, 11), (2, 4)))
    mask, notes = read(scan, [(0, "PE 1", 0, [square]), (70000, "PE 2", 70000, [other])])
    assert (np.sum(mask == 1), np.sum(mask == 2)) == (12, 6)
    assert "from 0 to 70000" in said(notes, "PE-SEG-006")
    twice = [(4, "PE", 4, [square]), (4, "lung", 4, [other])]
    with pytest.raises(InputError, match=r"PE-SEG-003: r\.dcm gives the number of region 'PE' to another region too"):
        read(scan, twice, names="pe")
    mask, notes = read(scan, [(4, "PE 1", 4, [square]), (4, "PE 2", 4, [other])])
    assert np.sum(mask == 4) == 18
    assert "region 'PE 1' or 'PE 2' have one number" in said(notes, "PE-SEG-006")
    mask, notes = read(scan, [(4, "PE 1", None, [square, square]), (5, "PE 2", 9, [other]), (6, "PE", 6, [other])])
    assert np.unique(mask).tolist() == [0, 6]
    assert "left out 3 contours whose ReferencedROINumber is missing, or of no region" in said(notes, "PE-SEG-005")
    assert "2 of 3 regions hold no voxel: region 'PE 1', region 'PE 2'" in said(notes, "PE-SEG-007")
    mask, notes = read(scan, [(None, "PE 1", None, [square]), (3, "PE 2", 3, [other])])
    assert np.unique(mask).tolist() == [0, 3]
    assert any("region 'PE 1' has no number" in note.message for note in notes)


def test_regions_that_overlap_or_are_empty(read: Read) -> None:
    scan = scan_of()
    square, part = drawn(scan, 1, around((3, 6), (2, 4))), drawn(scan, 1, around((5, 9), (2, 4)))
    mask, notes = read(scan, [(1, "PE 1", 1, [square]), (2, "PE 2", 2, [part]), (3, "PE 3", 3, None)])
    assert (np.sum(mask == 1), np.sum(mask == 2)) == (6, 15)
    assert "region 'PE 2': 6 of its voxels lie in other regions too" in said(notes, "PE-SEG-006")
    assert said(notes, "PE-SEG-007") == "1 of 3 regions hold no voxel: region 'PE 3'"
    between = drawn(scan, 1, box((3.2, 3.8), (2.2, 2.8)))  # no voxel's centre
    mask, notes = read(scan, [(1, "", 1, [between])])
    assert not mask.any()
    assert said(notes, "PE-SEG-007") == "1 of 1 regions hold no voxel: region 1 (without a name)"


@pytest.mark.parametrize("keyword", ["ROIContourSequence", "StructureSetROISequence"])
@pytest.mark.parametrize("empty", [False, True])
def test_files_without_a_sequence(read: Read, keyword: str, *, empty: bool) -> None:
    def edit(ds: pydicom.Dataset) -> None:
        if empty:
            ds[keyword].value = pydicom.Sequence()
        else:
            del ds[keyword]

    scan = scan_of()
    mask, notes = read(scan, one(drawn(scan, 1, around((3, 6), (2, 4)))), edit=edit)
    assert not mask.any()
    assert notes[0].code == ("PE-SEG-007" if keyword == "ROIContourSequence" else "PE-SEG-005")


def test_only_the_regions_that_are_meant_must_lie_in_the_frame_of_the_scan(read: Read) -> None:
    scan = scan_of()
    square = drawn(scan, 1, around((3, 6), (2, 4)))

    def edit(ds: pydicom.Dataset) -> None:
        ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "9.9"

    regions = [(1, "PE", 1, [square]), (2, "MR", 2, [square])]
    assert read(scan, regions, names="pe", edit=edit)[0].sum() == 12
    with pytest.raises(InputError, match="PE-SEG-002"):
        read(scan, regions, names="mr", edit=edit)


@pytest.mark.parametrize("stated_by", ["scan", "regions", "neither"])
def test_without_a_frame_of_reference_the_series_decides(read: Read, stated_by: str) -> None:
    scan = scan_of()
    assert scan.dicom is not None
    if stated_by != "scan":
        scan = dataclasses.replace(scan, dicom=dataclasses.replace(scan.dicom, frame_of_reference_uid=""))
    square = drawn(scan, 1, around((3, 6), (2, 4)))

    def edit(ds: pydicom.Dataset, series_uid: str | None = None) -> None:
        if stated_by != "regions":
            del ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
        if series_uid is not None:
            frame, study, series = (pydicom.Dataset() for _ in range(3))
            series.SeriesInstanceUID = series_uid
            study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [series], [study]
            ds.ReferencedFrameOfReferenceSequence = [frame]

    assert scan.dicom is not None
    assert read(scan, one(square), edit=lambda ds: edit(ds, scan.dicom.series_uid))[0].sum() == 12
    with pytest.raises(InputError, match=r"PE-SEG-002.*another series"):
        read(scan, one(square), edit=lambda ds: edit(ds, "9.9"))
    with pytest.raises(InputError, match=r"PE-SEG-002.*names neither slices nor a series"):
        read(scan, one(square), edit=edit)
    scan = dataclasses.replace(scan, dicom=dataclasses.replace(scan.dicom, sop_instance_uids=("7.1", "7.2")))
    slices = [pydicom.Dataset(), pydicom.Dataset()]
    square.ContourImageSequence, slices[0].ReferencedSOPInstanceUID = [slices[0]], "7.2"
    assert read(scan, one(square), edit=edit)[0].sum() == 12
    square.ContourImageSequence, slices[1].ReferencedSOPInstanceUID = [slices[1]], "8.2"
    with pytest.raises(InputError, match=r"PE-SEG-002.*names 1 slices, and none is of this series"):
        read(scan, one(square), edit=edit)


@pytest.mark.parametrize("explicit", [False, True])
def test_a_file_without_preamble_is_read(read: Read, tmp_path: Path, *, explicit: bool) -> None:
    scan = scan_of()
    read(scan, one(drawn(scan, 1, around((3, 6), (2, 4)))))
    bare = pydicom.Dataset()
    bare.update(pydicom.dcmread(tmp_path / "r.dcm"))
    bare.save_as(tmp_path / "bare.dcm", implicit_vr=not explicit, little_endian=True, enforce_file_format=False)
    assert (tmp_path / "bare.dcm").read_bytes()[:4] == bytes([8, 0, 0x16, 0])  # SOPClassUID at once
    label, notes = read_dicom_label(tmp_path / "bare.dcm", scan)
    assert sitk.GetArrayFromImage(label).sum() == 12
    assert [note.code for note in notes] == ["PE-DCM-015"]


def test_an_offset_of_a_contour_is_said(read: Read) -> None:
    scan = scan_of()
    contours = [drawn(scan, z, around((3, 6), (2, 4))) for z in (1, 2, 3)]
    contours[0].ContourOffsetVector, contours[1].ContourOffsetVector = [0, 0, 0], [0, 0, 2.5]
    mask, notes = read(scan, one(*contours))
    assert mask.sum(axis=(1, 2)).tolist() == [0, 12, 12, 12, 0, 0, 0, 0]
    assert "1 contours have a ContourOffsetVector" in said(notes, "PE-SEG-006")
