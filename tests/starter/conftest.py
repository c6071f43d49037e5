import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

FOLDER = Path(__file__).parents[2] / "starter"


def _make_importable() -> None:
    """The tool lies outside of what is installed; its folder alone, so that no other bare name can be imported."""
    spec = importlib.util.spec_from_file_location(
        "starter", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("starter", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)


_make_importable()

SPACING_MM = (2.0, 2.0, 2.0)


def tube(shape, y, x, radius):
    _, yy, xx = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.broadcast_to((yy - y) ** 2 + (xx - x) ** 2 < radius**2, shape)


def chest(shape=(24, 40, 48)):
    """HU and masks: a lung with an artery, in which an embolus lies, and a vein; fat, dense contrast."""
    hu = np.full(shape, 45.0)
    hu[:, :6] = -100
    lung, artery, vein = tube(shape, 22, 30, 14), tube(shape, 20, 26, 4), tube(shape, 26, 38, 3)
    emboli = np.zeros(shape, np.uint16)
    emboli[tube(shape, 20, 26, 2.5)] = 1
    emboli[:8], emboli[14:] = 0, 0
    hu[lung], hu[artery], hu[vein], hu[emboli > 0] = -850, 320, 250, 60
    hu[tube(shape, 14, 6, 3)] = 1000
    masks = {"emboli": emboli, "artery": artery, "vein": vein, "lung": lung & ~artery & ~vein}
    return hu.astype(np.int16), {name: mask.astype(np.uint16) for name, mask in masks.items()}


@pytest.fixture
def rendered(tmp_path) -> Path:
    """A folder of three rendered scans: of an anatomy to train on, one held out, and one for tests."""
    hu, masks = chest()
    for case in ("cadpe_001", "cadpe_008", "cadpe_021"):
        folder = tmp_path / "rendered" / case
        folder.mkdir(parents=True)
        for name, array in {"ct": hu, **masks}.items():
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(SPACING_MM)
            sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return tmp_path / "rendered"
