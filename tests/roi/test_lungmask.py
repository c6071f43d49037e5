"""The lung finder by lungmask, with a stand-in of that package's interface: no weights are here, and none fetched."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.errors import PEError
from pe_nnunet.roi import find_roi
from pe_nnunet.roi import lungmask as module
from pe_nnunet.voxels import Box


class StandIn:
    """Finds what the image holds at -850 HU, and at 2999 for dense lung; right 1, left 2, as R231 has it."""

    made: ClassVar[list[str]] = []

    def __init__(self, modelname: str = "R231", modelpath: str | None = None, tqdm_disable: bool = False) -> None:
        assert modelpath is not None, "without a path lungmask downloads its weights"
        if "broken" in modelpath:
            raise RuntimeError("Error(s) in loading state_dict for UNet")
        self.made.append(modelpath)

    def apply(self, image: sitk.Image) -> np.ndarray:
        hu = sitk.GetArrayFromImage(image)
        lung = (np.abs(hu + 850) < 80) | (hu == 2999)
        return np.where(lung, np.where(np.arange(hu.shape[2]) < hu.shape[2] // 2, 1, 2), 0).astype(np.uint8)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = ModuleType("lungmask")
    package.LMInferer = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lungmask", package)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(StandIn, "made", [])
    module._network.cache_clear()
    torch.save({"weight": torch.zeros(3)}, tmp_path / "unet_r231-d5d2fc3d.pth")
    return tmp_path / "unet_r231-d5d2fc3d.pth"


def test_dense_bases_are_lung(make_thorax, weights: Path) -> None:
    image = make_thorax()
    hu = sitk.GetArrayFromImage(image)
    lung = np.abs(hu + 850) < 80
    hu[lung & (np.arange(70) < 30)[:, None, None]] = 2999  # what the stand-in takes for dense lung
    dense = sitk.GetImageFromArray(hu)
    dense.CopyInformation(image)
    roi = find_roi(dense, finder="lungmask", lungmask_weights=weights)
    tight = Box.around(lung)
    assert tight is not None
    assert roi.box == tight.grown(10.0, (4.0, 4.0, 4.0), lung.shape)
    assert roi.notes == ()
    find_roi(dense, finder="lungmask", lungmask_weights=weights)
    assert StandIn.made == [str(weights)], "loaded once for several scans"


def test_one_lung_and_none(make_thorax, weights: Path) -> None:
    assert [n.code for n in find_roi(make_thorax(left=False), finder="lungmask", lungmask_weights=weights).notes] == [
        "PE-ROI-002"
    ]
    empty = make_thorax(left=False, right=False, gas=False)
    with pytest.raises(PEError, match=r"PE-ROI-001: lungmask finds 0 ml"):
        find_roi(empty, finder="lungmask", lungmask_weights=weights)
    roi = find_roi(empty, finder="lungmask", lungmask_weights=weights, on_no_lungs="full-volume")
    assert [note.code for note in roi.notes] == ["PE-ROI-003"]


def test_weights_come_from_a_file_or_the_cache_and_from_nowhere_else(make_thorax, weights: Path) -> None:
    image = make_thorax()
    with pytest.raises(PEError, match=r"PE-ROI-007: no weights of lungmask.*nothing is downloaded"):
        find_roi(image, finder="lungmask")
    cache = weights.parent / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    weights.rename(cache / weights.name)
    assert find_roi(image, finder="lungmask").lungs is not None
    assert StandIn.made == [str(cache / weights.name)]


def test_a_file_that_holds_no_weights(make_thorax, weights: Path) -> None:
    image = make_thorax()
    broken = weights.with_name("broken.pth")
    for content in (b"<html>", weights.read_bytes()):  # the second are weights of another network
        broken.write_bytes(content)
        with pytest.raises(PEError, match=r"PE-ROI-007: .*broken.pth holds no weights"):
            find_roi(image, finder="lungmask", lungmask_weights=broken)
    torch.save(StandIn, broken)
    with pytest.raises(PEError, match="PE-ROI-007"):
        find_roi(image, finder="lungmask", lungmask_weights=broken)


def test_without_the_package(make_thorax, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lungmask", None)
    with pytest.raises(PEError, match=r"PE-ROI-006.*pip install 'pe-nnunet\[lungmask\]'"):
        find_roi(make_thorax(), finder="lungmask", lungmask_weights=weights)
