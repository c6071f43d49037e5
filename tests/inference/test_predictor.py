"""The predictor: loaded once, used many times, with and without a detector."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage as ndi
from torch import nn

from pe_nnunet.detection import Detections, SliceBox, Tube
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.inference import PEPredictor, loaded_ensemble, predictor
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.roi import crop
from pe_nnunet.volumes import image_like
from pe_nnunet.voxels import Box

QUICK = InferenceSettings(mirroring=False, step=1.0)


@dataclass
class SeenClot:
    """Stands for a detector: it sees one clot, wherever the image was cropped or turned."""

    records: tuple = ()
    calls: list = field(default_factory=list)

    def find(self, image, detector, progress=None):
        self.calls.append(image.GetSize())
        z, y, x = image.TransformPhysicalPointToIndex((50.0, 0.0, 0.0))[::-1]
        boxes = tuple(SliceBox(k, y - 2.0, x - 2.0, y + 3.0, x + 3.0, 0.9) for k in range(z - 2, z + 3))
        return Detections(None, (Tube(Box((z - 2, y - 2, x - 2), (z + 3, y + 3, x + 3)), 0.9, boxes),))


@pytest.fixture
def seen(monkeypatch):
    stand_in = SeenClot()
    monkeypatch.setattr(predictor, "detect", stand_in.find)
    return stand_in


def test_models_are_loaded_once_and_images_of_any_axes_give_one_answer(model_folder, thorax, monkeypatch):
    loaded = []
    original = loaded_ensemble.load_model
    monkeypatch.setattr(loaded_ensemble, "load_model", lambda *a: loaded.append(a) or original(*a))
    model, outputs = model_folder(gain=20.0, patch=(32, 32, 32)), {"agreement", "probability"}
    finder = PEPredictor([model], device="cpu", inference=QUICK, outputs=outputs)
    first = finder.predict(thorax, case_id="x")
    turned = finder.predict(sitk.DICOMOrient(thorax, "SAR"))
    assert len(loaded) == 1
    assert first.case_id == "x"
    assert turned.probability.GetSize() == sitk.DICOMOrient(thorax, "SAR").GetSize()
    back = sitk.DICOMOrient(turned.probability, "LPS")
    np.testing.assert_allclose(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(first.probability), atol=1e-3)
    votes = sitk.GetArrayFromImage(first.agreement)
    np.testing.assert_array_equal(votes, sitk.GetArrayFromImage(first.probability) >= 0.5)
    for result in (first, turned):
        values = sitk.GetArrayFromImage(result.probability)
        assert len(result.emboli.kept) == len(first.emboli.kept) > 0
        assert (values[result.emboli.labels > 0] >= 0.5).all()
        assert all(values[row.voxel_zyx] == pytest.approx(row.probability) for row in result.emboli.candidates)


def test_boxes_raise_what_they_touch_and_nothing_else(model_folder, thorax, seen):
    """Segmentation says 0.27 everywhere; only in the box the odds are nine times as high."""
    folder = model_folder(log_odds=(-1.0,), patch=(32, 32, 32))
    finder = PEPredictor(
        [folder],
        seen,
        device="cpu",
        inference=QUICK,
        fusion=FusionSettings(box_weight=1.0, min_volume_mm3=1),
        outputs={"segmentation", "detections"},
    )
    for image in (thorax, sitk.DICOMOrient(thorax, "RPI")):
        result = finder.predict(image)
        (embolus,) = result.emboli.kept
        odds = np.exp(-1.0) * 9
        assert embolus.probability == pytest.approx(odds / (1 + odds), abs=0.01)
        z, y, x = embolus.voxel_zyx
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((x, y, z)), (50, 0, 0), atol=4.1)
        assert embolus.volume_mm3 == pytest.approx(125 * 64)
        assert result.roi["detected_emboli"] == 1
        assert "detection" in result.timings_s
        assert result.probability is None  # it was not asked for
        held = sitk.GetArrayFromImage(result.segmentation)  # as it was before the box
        assert held.max() == pytest.approx(np.exp(-1) / (1 + np.exp(-1)), abs=0.01)
        assert len(result.detections.emboli) == 1
    alone = PEPredictor([folder], device="cpu", inference=QUICK).predict(thorax)
    assert not alone.emboli.kept
    assert alone.roi["detected_emboli"] is None
    assert (alone.segmentation, alone.detections) == (None, None)


def test_along_the_arteries_nothing_else_is_searched(model_folder, thorax):
    mask = np.zeros(thorax.GetSize()[::-1], np.uint8)
    mask[28, 30, 20:60] = 1
    finder = PEPredictor([model_folder(log_odds=(2.0,))], device="cpu", inference=QUICK)
    result = finder.predict(thorax, artery=image_like(mask, thorax))
    found = sitk.GetArrayFromImage(result.probability) > 0
    assert found[28, 30, 20:60].all()
    assert found.sum() < 10 * mask.sum()
    assert result.roi["kind"] == "artery"
    assert result.burden.masks == ("artery",)  # one branch: followed, and found to reach no lung
    assert "PE-BUR-002" in [note.code for note in result.notes]


def test_one_loose_slice_by_a_2d_model_is_searched_whole_and_this_is_said(model_folder, thorax, seen):
    folder = model_folder("A__P__2d", patch=(16, 16), spacing=(4.0, 4.0), log_odds=(2.0,))
    result = PEPredictor([folder], seen, device="cpu").predict(crop(thorax, Box((28, 0, 0), (29, 60, 80))))
    assert (sitk.GetArrayFromImage(result.probability) > 0.8).all()
    assert [note.code for note in result.notes] == ["PE-MODEL-011"]
    assert not seen.calls


class SeesBlood(nn.Module):
    """Arteries where it is bright, and PE everywhere."""

    def forward(self, x):
        return torch.cat([10 * (x - 0.5), torch.full_like(x, 2.0)], 1)


def test_along_the_arteries_that_a_model_sees_itself(model_folder, thorax):
    folder = model_folder(regions=True)
    finder = PEPredictor([folder], device="cpu", inference=QUICK, along_arteries=True)
    finder.models = [replace(finder.models[0], network=SeesBlood(), folds=(("0", {}),))]
    result = finder.predict(thorax)
    found = sitk.GetArrayFromImage(result.probability) > 0
    blood = sitk.GetArrayFromImage(thorax) > 250
    near = ndi.distance_transform_edt(~blood, sampling=4.0)
    assert result.roi["kind"] == "artery"
    assert found[near <= 5].mean() > 0.95
    assert not found[near > 10].any()
    assert finder.settings()["along_arteries"]


def test_a_model_without_arteries_cannot_say_where_they_run(model_folder):
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-007.*artery-pe"):
        PEPredictor([model_folder()], device="cpu", along_arteries=True)
