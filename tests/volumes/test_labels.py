from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes import empty_note, image_like, read_label, read_label_noted, require_same_grid, write_image


def saved(thorax: sitk.Image, tmp_path: Path, values: np.ndarray) -> Path:
    path = tmp_path / "label.nii.gz"
    write_image(image_like(values, thorax), path)
    return path


@pytest.fixture
def ids(thorax: sitk.Image) -> np.ndarray:
    array = np.zeros(sitk.GetArrayFromImage(thorax).shape, np.int16)
    array[2, 3, 4:9], array[4, 5, 6] = 1, 7
    return array


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_whole_numbers_of_any_type(thorax: sitk.Image, tmp_path: Path, ids: np.ndarray, dtype: type) -> None:
    label = read_label(saved(thorax, tmp_path, ids.astype(dtype)))
    assert label.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(label), ids)
    require_same_grid(thorax, label, "the label")


def test_many_ids(thorax: sitk.Image, tmp_path: Path, ids: np.ndarray) -> None:
    ids[5, 5, 5] = 300
    label = read_label(saved(thorax, tmp_path, ids))
    assert label.GetPixelID() == sitk.sitkUInt16
    assert sitk.GetArrayFromImage(label).max() == 300


def test_31_nearly_whole_numbers_are_rounded(thorax: sitk.Image, tmp_path: Path, ids: np.ndarray) -> None:
    label, notes = read_label_noted(saved(thorax, tmp_path, ids + np.float32(4e-4)))
    assert [note.code for note in notes] == ["PE-LBL-005"]
    assert np.array_equal(sitk.GetArrayFromImage(label), ids)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda a: a * 0.5, "PE-LBL-002"),
        (lambda a: np.where(a > 0, np.nan, 0), "PE-LBL-002"),
        (lambda a: a - 1.0, "PE-LBL-003"),
        (lambda a: a.astype(np.int32) * 70000, "PE-LBL-004"),
    ],
)
def test_31_values_that_are_no_labels(thorax: sitk.Image, tmp_path: Path, ids: np.ndarray, change, code: str) -> None:
    with pytest.raises(InputError, match=f"{code}.*label.nii.gz"):
        read_label(saved(thorax, tmp_path, change(ids)))


def test_33_an_empty_label_is_noted_and_a_missing_one_refused(
    thorax: sitk.Image, tmp_path: Path, ids: np.ndarray
) -> None:
    label, notes = read_label_noted(saved(thorax, tmp_path, 0 * ids))
    assert notes == ()
    assert [note.code for note in empty_note(label, "label.nii.gz")] == ["PE-LBL-006"]
    assert empty_note(read_label(saved(thorax, tmp_path, ids)), "label.nii.gz") == ()
    with pytest.raises(InputError, match="PE-LBL-001"):
        read_label(tmp_path / "gone.nii.gz")


def test_37_a_scan_instead_of_its_label(thorax: sitk.Image, tmp_path: Path) -> None:
    write_image(thorax, tmp_path / "ct.nii.gz")
    with pytest.raises(InputError, match=r"PE-LBL-003.*is this the scan itself\?"):
        read_label(tmp_path / "ct.nii.gz")
