"""Tiny thoraxes with known emboli, and nnU-Net's three folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.volumes import write_dicom_series, write_image

SHAPE, SPACING_MM = (48, 64, 64), 4.0  # z, y, x
AIR, FAT, TISSUE, LUNG, CONTRAST, CLOT = -1000, -90, 40, -850, 320, 50


@dataclass(frozen=True)
class Thorax:
    """A drawn scan; all images on one grid, in LPS axes."""

    ct: sitk.Image
    emboli: sitk.Image
    artery: sitk.Image

    def moved(self, change: Callable[[sitk.Image], sitk.Image]) -> Thorax:
        return Thorax(change(self.ct), change(self.emboli), change(self.artery))


def draw_thorax(emboli: int = 2, *, seed: int = 0, lungs: bool = True) -> Thorax:
    """A body with two lungs, an artery across both hila, and up to four emboli of 27 voxels in it, ids 1, 2, ..."""
    z, y, x = (np.arange(n).reshape([-1 if i == k else 1 for i in range(3)]) for k, n in enumerate(SHAPE))
    rng = np.random.default_rng(seed)
    hu = np.full(SHAPE, AIR, np.float64)
    body = np.broadcast_to(((y - 32) / 22) ** 2 + ((x - 32) / 29) ** 2 < 1, SHAPE)
    hu[body] = FAT
    hu[np.broadcast_to(((y - 32) / 20) ** 2 + ((x - 32) / 27) ** 2 < 1, SHAPE)] = TISSUE
    if lungs:
        for centre in (19, 45):
            hu[((z - 24) / 16) ** 2 + ((y - 31) / 13) ** 2 + ((x - centre) / 9) ** 2 < 1] = LUNG
    artery = np.broadcast_to(((z - 24) ** 2 + (y - 31) ** 2 < 9) & (abs(x - 32) < 18), SHAPE)
    hu[artery] = CONTRAST
    ids = np.zeros(SHAPE, np.uint8)
    for k, column in enumerate((18, 45, 24, 39)[:emboli], 1):
        ids[23:26, 30:33, column : column + 3] = k
    hu[ids > 0] = CLOT
    hu += rng.normal(0, 8, SHAPE)
    arrays = (np.rint(hu).astype(np.int16), ids, artery.astype(np.uint8))
    return Thorax(*(_on_grid(array) for array in arrays))


def _on_grid(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((SPACING_MM,) * 3)
    image.SetOrigin((-126.5, -140.25, -300.0))
    return image


@pytest.fixture(scope="session")
def thorax() -> Thorax:
    """Two emboli of 27 voxels, 1,728 mm3 each."""
    return draw_thorax(2)


@pytest.fixture(scope="session")
def draw() -> Callable[..., Thorax]:
    return draw_thorax


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six study folders: DICOM, NIfTI, NRRD and MHA, one without emboli, two of one patient. Read only."""
    root = tmp_path_factory.mktemp("studies")
    for k, (emboli, suffix) in enumerate(
        [(1, "dcm"), (2, ".nii.gz"), (0, ".nrrd"), (3, "dcm"), (4, ".mha"), (0, "dcm")]
    ):
        drawn, folder = draw_thorax(emboli, seed=k), root / f"case_{k}"
        if suffix == "dcm":
            patient = "P-ONE" if k in {0, 3} else f"P{k}"
            write_dicom_series(drawn.ct, folder / "ct", patient_id=patient)
        else:
            write_image(drawn.ct, folder / f"ct{suffix}")
        ending = ".nii.gz" if suffix == "dcm" else suffix
        write_image(drawn.emboli, folder / f"emboli{ending}")
        write_image(drawn.artery, folder / f"artery{ending}")
    (root / "notes.txt").write_text("not a study")
    return root


@pytest.fixture
def nnunet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """nnU-Net's three folders, empty; returns the one of the raw datasets."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path / "nnUNet_raw"
