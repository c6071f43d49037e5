"""Segmentations as 3D Slicer saves them: layers, names, overlaps, and grids that are a part of the scan's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.volumes import empty_note, image_like, laid_on, read_label, read_label_noted, to_lps
from pe_nnunet.volumes.seg.slicer_segmentation import is_segmentation
from tests.volumes.headers import nrrd

Segment = tuple[str, int | None, int | None]  # name, value, layer
SIZE = (4, 5, 6)  # z, y, x
GRID = [
    "space: left-posterior-superior",
    "space directions: (1.5,0,0) (0,1.25,0) (0,0,2.5)",
    "space origin: (10,20,30)",
]


def save(path: Path, layers: Sequence[np.ndarray], segments: Sequence[Segment], *more: str) -> Path:
    """Write layers (z, y, x) as Slicer does: one as it is, several as a list before the axes of space."""
    lines = list(GRID)
    voxels = layers[0]
    if len(layers) > 1:
        voxels = np.stack(layers, axis=-1)
        lines[1] = lines[1].replace(": ", ": none ")
        lines.append("kinds: list domain domain domain")
    for k, (name, value, layer) in enumerate(segments):
        lines += [f"Segment{k}_ID:=Segment_{k + 1}", f"Segment{k}_Name:={name}", f"Segment{k}_Extent:=0 5 0 4 0 3"]
        lines += [] if value is None else [f"Segment{k}_LabelValue:={value}"]
        lines += [] if layer is None else [f"Segment{k}_Layer:={layer}"]
    return nrrd(path, np.ascontiguousarray(voxels.astype(np.uint8)), [*lines, *more])


def box(z: slice, y: slice, x: slice, value: int = 1) -> np.ndarray:
    layer = np.zeros(SIZE, np.uint8)
    layer[z, y, x] = value
    return layer


ONE, TWO = box(slice(1, 3), slice(1, 3), slice(1, 4)), box(slice(2, 4), slice(2, 4), slice(2, 5))
NAMED = [("embolus 1", 1, 0), ("embolus 2", 1, 1)]


def ids(path: Path, names: str | None = None) -> np.ndarray:
    return sitk.GetArrayFromImage(read_label_noted(path, names=names)[0])


def codes(path: Path, names: str | None = None) -> list[str]:
    return [note.code for note in read_label_noted(path, names=names)[1]]


def test_layers_are_joined_and_the_first_keeps_what_several_share(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [ONE, TWO], NAMED)
    expected = np.where(ONE, 1, 2 * TWO)
    assert np.array_equal(ids(path), expected)
    assert (ids(path) > 0).sum() == 12 + 12 - 2  # two boxes of 2 x 2 x 3 that share 1 x 1 x 2
    (note,) = read_label_noted(path)[1]
    assert (note.code, note.message) == ("PE-NII-017", "2 layers with 2 of 2 segments joined, 2 voxels are of several")
    label = read_label(path)
    assert label.GetSpacing() == (1.5, 1.25, 2.5)
    assert label.GetOrigin() == (10, 20, 30)


def test_files_of_slicer_4_have_a_layer_a_segment_and_say_neither_layer_nor_value(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [ONE, TWO], [("embolus", None, None), ("Embolus_2", None, None)])
    assert np.array_equal(ids(path), np.where(ONE, 1, 2 * TWO))


def test_values_that_are_each_segments_own_are_ids(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [3 * ONE, 7 * TWO], [("embolus", 3, 0), ("embolus", 7, 1)])
    assert set(np.unique(ids(path))) == {0, 3, 7}
    one = save(tmp_path / "b.seg.nrrd", [np.where(ONE, 3, 7 * TWO)], [("embolus", 3, 0), ("embolus", 7, 0)])
    assert np.array_equal(ids(one), np.where(ONE, 3, 7 * TWO))
    assert codes(one) == []


def test_segments_are_chosen_by_name_as_those_of_dicom(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [ONE, TWO], [("right lung", 1, 0), ("Embolus left", 1, 1)])
    with pytest.raises(InputError, match=r"PE-SEG-003: a\.seg\.nrrd holds .*: 'right lung', 'Embolus left'"):
        read_label(path)
    assert np.array_equal(ids(path, "embol*"), 2 * TWO)
    with pytest.raises(InputError, match=r"PE-SEG-003.*no 'artery'"):
        ids(path, "artery")
    lungs = save(tmp_path / "b.nrrd", [ONE + 2 * (TWO - ONE * TWO)], [("lung", 1, 0), ("embolus", 2, 0)])
    assert is_segmentation(lungs)  # by its segments: the ending was changed
    assert np.array_equal(ids(lungs, "embolus") > 0, TWO - ONE * TWO > 0)


def test_values_of_no_segment_are_left_out_and_said(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [np.where(ONE, 1, 9 * TWO)], [("embolus", 1, 0)])
    assert np.array_equal(ids(path), ONE)
    assert codes(path) == ["PE-NII-017"]
    assert "10 voxels have a value of no segment" in read_label_noted(path)[1][0].message


def test_an_empty_segment_is_an_empty_label(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [0 * ONE, 0 * ONE], NAMED)
    assert codes(path) == ["PE-NII-017"]
    assert [note.code for note in empty_note(read_label_noted(path)[0], path.name)] == ["PE-LBL-006"]


@pytest.mark.parametrize(
    ("layers", "segments", "more", "message"),
    [
        ([ONE, TWO], [], (), "PE-NII-002.*2 layers.*export it as a binary label map"),
        ([ONE], [("embolus", 1, 3)], (), "PE-IN-003.*layer 3 of 1"),
        ([ONE], NAMED[:1], ("Segmentation_MasterRepresentation:=Fractional labelmap",), "PE-LBL-002.*shares"),
    ],
)
def test_segmentations_that_cannot_be_a_label(
    tmp_path: Path, layers: list[np.ndarray], segments: list[Segment], more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_label(save(tmp_path / "a.seg.nrrd", layers, segments, *more))


def scan_around(label: sitk.Image, before: Sequence[int], after: Sequence[int]) -> sitk.Image:
    """A scan on the label's grid, so many voxels larger at each end (x, y, z)."""
    return sitk.ConstantPad(sitk.Image(label), before, after, 0)


@pytest.mark.parametrize("order", ["LPS", "RAS", "PIR"])
@pytest.mark.parametrize(("before", "after"), [((3, 1, 2), (2, 4, 1)), ((0, 0, 0), (1, 1, 1)), ((5, 0, 0), (0, 0, 0))])
def test_a_cropped_segmentation_is_placed_on_its_scan(
    tmp_path: Path, order: str, before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    path = save(tmp_path / "a.seg.nrrd", [ONE, TWO], NAMED)
    label = read_label(path)
    scan = scan_around(label, before, after)
    placed, notes = laid_on(sitk.DICOMOrient(scan, order), None, label, path, "the label")
    assert [note.code for note in notes] == ["PE-NII-017"]
    assert np.array_equal(sitk.GetArrayFromImage(to_lps(placed)), sitk.GetArrayFromImage(scan))
    assert placed.GetDirection() == sitk.DICOMOrient(scan, order).GetDirection()


def test_a_segmentation_beyond_its_scan_is_cut_where_it_is_empty_and_refused_where_it_is_not(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [ONE], NAMED[:1])
    label = read_label(path)
    placed, _ = laid_on(label[1:5, :4, 1:], None, label, path, "the label")
    assert np.array_equal(sitk.GetArrayFromImage(placed), ONE[1:, :4, 1:5])
    with pytest.raises(GeometryError, match="PE-GEO-002: 6 voxels of the label lie outside"):
        laid_on(label[:, :, 2:], None, label, path, "the label")


def test_a_grid_that_is_no_part_of_the_scans_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", [ONE], NAMED[:1])
    label = read_label(path)
    scan = scan_around(label, (1, 1, 1), (1, 1, 1))
    for change in (
        lambda image: image.SetSpacing((1.5, 1.25, 2.0)),
        lambda image: image.SetOrigin((9.0, 18.75, 27.5)),
        lambda image: image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)),
    ):
        other = sitk.Image(scan)
        change(other)
        with pytest.raises(GeometryError, match="PE-GEO-001: the label has size"):
            laid_on(other, None, label, path, "the label")
    plain = tmp_path / "a.nii.gz"  # cropped labels that are no segmentations are refused as before
    sitk.WriteImage(image_like(ONE, label), str(plain))
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        laid_on(scan, None, read_label(plain), plain, "the label")
