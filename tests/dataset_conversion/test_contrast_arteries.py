from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.dataset_conversion import ConvertOptions, convert
from pe_nnunet.dataset_conversion.contrast_arteries import arteries_by_contrast
from pe_nnunet.errors import InputError
from pe_nnunet.volumes import write_image

MM = (1.5, 1.5, 1.5)


def tube(shape: tuple[int, int, int], y: float, x: float, radius: float) -> np.ndarray:
    _, rows, columns = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.broadcast_to((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, shape)


@pytest.fixture
def vessels() -> dict[str, np.ndarray]:
    """An artery of 300 HU with a clot in it, a vein of 400 HU that touches it, a heart of 300 HU far away."""
    shape = (30, 50, 80)
    found = {"artery": tube(shape, 25, 20, 6), "vein": tube(shape, 25, 33, 6), "heart": tube(shape, 25, 62, 10)}
    found["emboli"] = tube(shape, 25, 20, 3) & (np.abs(np.arange(30) - 15) < 4)[:, None, None]
    hu = np.full(shape, 40.0)
    for name, level in (("artery", 300), ("vein", 400), ("heart", 300), ("emboli", 50)):
        hu[found[name]] = level
    found["hu"] = hu + np.random.default_rng(0).normal(0, 12, shape)
    return found


def test_the_artery_of_the_clot_is_found_and_no_vein_nor_heart(vessels: dict[str, np.ndarray]) -> None:
    nothing, everywhere = np.zeros(vessels["hu"].shape, bool), np.ones(vessels["hu"].shape, bool)
    found = arteries_by_contrast(vessels["hu"], nothing, everywhere, vessels["emboli"], MM)
    artery = vessels["artery"]
    assert np.count_nonzero(found & artery) > 0.75 * artery.sum()  # all but the rim, which is darker
    assert np.count_nonzero(found & ~artery) < 0.05 * artery.sum()
    assert not (found & vessels["heart"]).any()
    assert found[vessels["emboli"]].all()


def test_without_emboli_or_contrast_there_are_no_arteries(vessels: dict[str, np.ndarray]) -> None:
    nothing, everywhere = np.zeros(vessels["hu"].shape, bool), np.ones(vessels["hu"].shape, bool)
    with pytest.raises(InputError, match=r"PE-CONV-008.*there are none"):
        arteries_by_contrast(vessels["hu"], nothing, everywhere, nothing, MM)
    with pytest.raises(InputError, match=r"PE-CONV-008.*nothing around the emboli"):
        arteries_by_contrast(vessels["hu"] - 250, nothing, everywhere, vessels["emboli"], MM)


def test_conversion_with_arteries_by_contrast(nnunet: Path, tmp_path: Path, draw: Callable[..., Any]) -> None:
    for case, emboli in (("a", 2), ("none", 0)):
        write_image(draw(emboli).ct, tmp_path / "src" / case / "ct.nii.gz")
        write_image(draw(emboli).emboli, tmp_path / "src" / case / "emboli.nii.gz")
    options = ConvertOptions(scheme="artery-pe", artery="contrast", folds=2)
    report = convert("studies", tmp_path / "src", 501, "PE", options)
    assert [(error.case_id, error.code) for error in report.errors] == [("none", "PE-CONV-008")]
    record = report.cases["a"]
    assert "PE-CONV-037" in [note.code for note in record.notes]
    folder = nnunet / "Dataset501_PE"
    artery = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "pe_nnunet/arteries/a.nii.gz"))) > 0
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labelsTr/a.nii.gz")))
    truth = sitk.GetArrayFromImage(draw(2).artery)[record.box.slices] > 0
    assert 2 * np.count_nonzero(artery & truth) / (artery.sum() + truth.sum()) > 0.7
    assert np.array_equal(label > 0, artery)
    again = ConvertOptions(scheme="artery-pe", artery="contrast", folds=2, resume=True)
    assert convert("studies", tmp_path / "src", 501, "PE", again).reused == {"a"}
