"""Labels that tools write which read a contradictory header by its sform, as nibabel does, find their scan."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError
from pe_nnunet.volumes import laid_on, read_file, read_label
from tests.volumes.headers import affine, nifti, turned

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
MASK = (VOXELS > 700).astype(np.uint8)
HEADERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sform of 1 mm": {"sform": affine((1.0, 1.0, 1.0))},
    "one axis": {"sform": affine((1.5, 1.25, 10 / 3))},
    "turned, aligned": {"sform": affine(axes=turned(20)), "s_code": 2},
    "mirrored": {"sform": affine(axes=np.diag([1.0, -1.0, 1.0]))},
    "moved, aligned": {"sform": affine(origin=(25, -31.5, 700.25)), "s_code": 2},
    "no orientation": {"s_code": 0, "q_code": 0},
    "metres": {
        "sform": affine(np.divide((1.5, 1.25, 2.5), 1000), origin=(0.02, -0.0315, 0.70025)),
        "qform": affine(np.divide((1.5, 1.25, 2.5), 1000), origin=(0.02, -0.0315, 0.70025)),
        "xyzt_units": 1,
    },
}
BY_OTHERS = HEADERS.keys() - {"plain", "mirrored"}  # which ITK reads otherwise than nibabel


def by_affine(scan: Path, label: Path) -> None:
    """As a tool does that takes voxels and affine from nibabel."""
    volume = nib.load(scan)
    nib.save(nib.Nifti1Image((np.asarray(volume.dataobj) > 700).astype(np.uint8), volume.affine), label)


def with_header(scan: Path, label: Path) -> None:
    """As a tool does that hands on the header, too."""
    volume = nib.load(scan)
    mask = (np.asarray(volume.dataobj) > 700).astype(np.uint8)
    nib.save(nib.Nifti1Image(mask, volume.affine, volume.header, dtype=np.uint8), label)


def by_itk(scan: Path, label: Path) -> None:
    sitk.WriteImage(sitk.ReadImage(str(scan)) > 700, str(label))


@pytest.mark.parametrize(("name", "write"), [*product(HEADERS, (by_affine, with_header, by_itk))])
def test_a_label_made_from_its_scan_is_laid_on_it_by_every_tool(tmp_path: Path, name: str, write: Any) -> None:
    scan, label = nifti(tmp_path / "ct.nii", VOXELS, **HEADERS[name]), tmp_path / "label.nii.gz"
    write(scan, label)
    image = read_file(scan)[0]
    laid, notes = laid_on(image, scan, read_label(label), label, "the label")
    assert np.array_equal(sitk.GetArrayFromImage(laid), MASK)
    expected = ["PE-NII-016"] if write is by_affine and name in BY_OTHERS else []
    assert [note.code for note in notes] == expected
    if expected:
        assert laid.GetSpacing() == image.GetSpacing()
        assert "the image by its" in notes[0].message


@pytest.mark.parametrize("name", ["sform of 1 mm", "one axis", "turned, aligned", "mirrored"])
def test_the_header_of_the_label_may_be_the_contradictory_one(tmp_path: Path, name: str) -> None:
    label = nifti(tmp_path / "label.nii", MASK, **HEADERS[name])
    scan = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(VOXELS.T, nib.load(label).affine), scan)  # consistent, by the sform of the label
    laid, notes = laid_on(read_file(scan)[0], scan, read_label(label), label, "the label")
    assert np.array_equal(sitk.GetArrayFromImage(laid), MASK)
    assert [note.code for note in notes] == ([] if name == "mirrored" else ["PE-NII-016"])  # ITK takes that sform, too


def test_a_label_with_other_axes_is_turned_by_the_other_reading_too(tmp_path: Path) -> None:
    scan, label = nifti(tmp_path / "ct.nii", VOXELS, **HEADERS["one axis"]), tmp_path / "label.nii.gz"
    volume = nib.load(scan)
    mask = nib.as_closest_canonical(nib.Nifti1Image((np.asarray(volume.dataobj) > 700).astype(np.uint8), volume.affine))
    assert not np.array_equal(np.asarray(mask.dataobj).T, MASK)
    nib.save(mask, label)
    laid, notes = laid_on(read_file(scan)[0], scan, read_label(label), label, "the label")
    assert np.array_equal(sitk.GetArrayFromImage(laid), MASK)
    assert [note.code for note in notes] == ["PE-CONV-022", "PE-NII-016"]


def test_a_label_that_fits_one_reading_as_it_is_and_another_mirrored_is_refused(tmp_path: Path) -> None:
    """The two forms hold the same place in space with left and right exchanged: nothing tells where the clot lies."""
    other = affine(axes=np.diag([1.0, -1.0, 1.0]), origin=(20 - 5 * 1.5, -31.5, 700.25))
    scan, label = nifti(tmp_path / "ct.nii", VOXELS, sform=other), nifti(tmp_path / "label.nii", MASK)
    with pytest.raises(GeometryError, match="PE-GEO-002: the label lies on the image in two ways"):
        laid_on(read_file(scan)[0], scan, read_label(label), label, "the label")
    consistent = nifti(tmp_path / "plain.nii", VOXELS, sform=other, qform=other)
    laid, notes = laid_on(read_file(consistent)[0], consistent, read_label(label), label, "the label")
    assert np.array_equal(sitk.GetArrayFromImage(laid), MASK[:, :, ::-1])
    assert [note.code for note in notes] == ["PE-CONV-022"]


def test_a_label_that_fits_no_reading_is_refused(tmp_path: Path) -> None:
    scan = nifti(tmp_path / "ct.nii", VOXELS, **HEADERS["one axis"])
    label = tmp_path / "label.nii.gz"
    nib.save(nib.Nifti1Image(MASK.T, affine((1.5, 1.25, 3.0))), label)
    with pytest.raises(GeometryError, match="PE-GEO-002"):
        laid_on(read_file(scan)[0], scan, read_label(label), label, "the label")
