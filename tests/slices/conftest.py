"""A small thorax with two emboli, as volume and as DICOM series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.volumes import Scan, find_scans, image_like, read_scan, write_dicom_series, write_image


def thorax_hu(shape: tuple[int, int, int]) -> np.ndarray:
    _, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    hu = np.full(shape, -1000)
    hu[((y - 9.5) / 9) ** 2 + ((x - 11.5) / 11) ** 2 < 1] = 40
    for centre in (6, 17):
        hu[((y - 9.5) / 6) ** 2 + ((x - centre) / 3.5) ** 2 < 1] = -850
    return (hu + np.random.default_rng(0).integers(-20, 20, shape)).astype(np.int16)


@pytest.fixture
def image() -> sitk.Image:
    image = sitk.GetImageFromArray(thorax_hu((8, 20, 24)))
    image.SetSpacing((1.5, 1.25, 2.5))
    image.SetOrigin((-20.0, 31.5, 700.25))
    return image


@pytest.fixture
def label(image: sitk.Image) -> sitk.Image:
    """Ids 2 and 7: not numbered without gaps."""
    ids = np.zeros(image.GetSize()[::-1], np.uint16)
    ids[2:5, 6:10, 8:13] = 2
    ids[6, 3:5, 15:17] = 7
    return image_like(ids, image)


@pytest.fixture
def volume(image: sitk.Image, label: sitk.Image, tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "in" / "a.nii.gz", tmp_path / "masks" / "a.nii.gz"
    write_image(image, paths[0])
    write_image(label, paths[1])
    return paths


@pytest.fixture
def series(image: sitk.Image, tmp_path: Path) -> Scan:
    write_dicom_series(image, tmp_path / "dicom" / "b", patient_id="Secret^Name")
    (ref,) = find_scans(tmp_path / "dicom" / "b")
    return read_scan(ref)
