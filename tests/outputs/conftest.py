from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import Note
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, ModelRecord
from pe_nnunet.volumes.geometry import spacing_zyx


def scan_image(shape: tuple[int, int, int] = (24, 60, 80)) -> sitk.Image:
    """A grey body with two dark lungs, on an oblique, anisotropic grid."""
    hu = np.full(shape, -1000, np.int16)
    z, y, x = np.indices(shape)
    hu[((y - 30) / 26) ** 2 + ((x - 40) / 36) ** 2 < 1] = 40
    for centre in (22, 58):
        hu[(((y - 30) / 18) ** 2 + ((x - centre) / 13) ** 2 < 1) & (z > 2)] = -850
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((1.5, 1.5, 2.0))
    image.SetOrigin((-60.0, -45.0, 100.0))
    angle = np.deg2rad(10)
    image.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1))
    return image


def probability_map(shape: tuple[int, int, int] = (24, 60, 80)) -> np.ndarray:
    probability = np.zeros(shape, np.float32)
    probability[8:12, 28:34, 36:44] = 0.7
    probability[10, 30, 40] = 0.95  # 192 voxels of 4.5 mm3
    probability[16:18, 20:23, 20:23] = 0.6  # 18 voxels
    probability[4, 40, 60] = 0.2
    return probability


@pytest.fixture
def image() -> sitk.Image:
    return scan_image()


@pytest.fixture
def probability() -> np.ndarray:
    return probability_map()


@pytest.fixture
def case(image: sitk.Image, probability: np.ndarray) -> CaseResult:
    as_image = sitk.GetImageFromArray(probability)
    as_image.CopyInformation(image)
    return CaseResult(
        "case_1",
        image,
        find_emboli(probability, spacing_zyx(image), FusionSettings()),
        probability=as_image,
        source="scans/case 1",
        source_sha256="ab" * 32,
        roi={"box_zyx": [[0, 0, 0], [24, 60, 80]]},
        models=(
            ModelRecord(
                "PETARUNetTrainer__PETARUNetPlans__3d_fullres", "Dataset501_PE", "0", "checkpoint_final.pth", "cd" * 32
            ),
        ),
        arguments={"threshold": 0.5, "folds": ["0"]},
        timings_s={"read": 1.25, "predict": 2.5},
        notes=(Note("PE-IN-004", "warning", "a note, with a comma"),),
    )
