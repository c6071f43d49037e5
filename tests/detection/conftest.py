"""A small converted dataset, and a scan with known lungs and emboli."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from pe_nnunet.dataset_conversion.raw import case_file, write_cases
from pe_nnunet.dataset_conversion.records import CaseRecord, Geometry
from pe_nnunet.roi import Box
from pe_nnunet.volumes import write_image

SHAPE, SPACING_XYZ = (12, 40, 48), (2.0, 2.0, 3.0)
Volumes = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16], npt.NDArray[np.uint8]]


def scene(emboli: bool, seed: int = 0) -> Volumes:
    """HU, embolus ids and lungs: a chest of two boxes of lung, a bright vessel between, dark clots in it."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 10, SHAPE)
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[1:11, 8:32, 4:18] = 1
    lungs[1:11, 8:32, 30:44] = 1
    hu[lungs > 0] = -850
    hu[:, 16:26, 19:29] = 400
    ids = np.zeros(SHAPE, np.uint16)
    if emboli:
        ids[3:9, 18:23, 21:26] = 3
        ids[5, 17:19, 27:29] = 7
    hu[ids > 0] = 60
    return hu.round().astype(np.int16), ids, lungs


def image_of(array: npt.NDArray[np.generic]) -> sitk.Image:
    """On the scene's grid."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_XYZ)
    return image


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset as `pe-nnunet convert` writes it: p and q with emboli, n without, t in the test set."""
    folder = tmp_path_factory.mktemp("raw") / "Dataset007_Boxes"
    records = {}
    for seed, (case, emboli) in enumerate({"p": True, "q": True, "n": False, "t": True}.items()):
        for role, array in zip(("image", "instances", "lungs"), scene(emboli, seed), strict=True):
            write_image(image_of(array), case_file(folder, role, case, test=case == "t"))
        blank = image_of(np.zeros(SHAPE, np.uint8))
        records[case] = CaseRecord(
            case=case, kind="nifti", source=case, sha256={}, digest=case, patient=case, geometry=Geometry.of(blank),
            box=Box.whole(SHAPE), margin_mm=10.0, lungs_found=True, ids_from="source", embolus_mm3={},
            embolus_voxels=0, target_ratio_before=0.0, target_ratio_after=0.0, target_ratio_factor=1.0, notes=(),
            test=case == "t",
        )  # fmt: skip
    write_cases(folder, records, {})
    splits = [{"train": ["n", "p"], "val": ["q"]}, {"train": ["q"], "val": ["n", "p"]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    return folder
