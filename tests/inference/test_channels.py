"""Models of several channels: the files of a case belong together, and its further channels reach the network."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.cli import main
from pe_nnunet.errors import InputError
from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.channels import further_channels, without_further_channels
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.roi import crop
from pe_nnunet.volumes import find_scans, image_like
from pe_nnunet.voxels import Box

CPU = torch.device("cpu")
EXACT = InferenceSettings(mirroring=False, float32=True)
TWO = ("CT", "noNorm")


def bright(image):
    return image_like((sitk.GetArrayFromImage(image) > 120).astype(np.uint8), image)


@pytest.fixture
def study(tmp_path, thorax):
    """Case p with both channels, q without the second, and a scan that is called as a second channel is."""
    folder = tmp_path / "study"
    folder.mkdir()
    for name, image in {"p_0000": thorax, "p_0001": bright(thorax), "q_0000": thorax, "r_0001": thorax}.items():
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return folder


def test_files_of_one_case_belong_together(study):
    refs = find_scans(study)
    assert [ref.case_id for ref in without_further_channels(refs, 2)] == ["p", "q", "r_0001"]
    assert len(without_further_channels(refs, 1)) == 4


def test_what_a_case_lacks_is_named(study, thorax):
    p, q, r = without_further_channels(find_scans(study), 2)
    assert further_channels(q, thorax, 1) == []
    assert np.array_equal(*map(sitk.GetArrayViewFromImage, (further_channels(p, thorax, 2)[0], bright(thorax))))
    with pytest.raises(InputError, match=r"PE-MODEL-005: .*p_0002.nii.gz is not there: the model needs 3"):
        further_channels(p, thorax, 3)
    with pytest.raises(InputError, match=r"PE-MODEL-005: .*q_0001.nii.gz is not there"):
        further_channels(q, thorax, 2)
    with pytest.raises(InputError, match=r"PE-MODEL-005: r_0001.nii.gz: the model needs 2 channels, here is one"):
        further_channels(r, thorax, 2)
    smaller = crop(bright(thorax), Box((0, 0, 0), (50, 60, 80)))
    sitk.WriteImage(smaller, str(study / "q_0001.nii.gz"))
    with pytest.raises(InputError, match=r"PE-GEO-00[12]: .*channel 1 of q"):
        further_channels(q, thorax, 2)
    values = np.full(thorax.GetSize()[::-1], np.nan, np.float32)
    sitk.WriteImage(image_like(values, thorax), str(study / "q_0001.nii.gz"))
    with pytest.raises(InputError, match=r"PE-MODEL-005: .*q_0001.nii.gz holds NaN"):
        further_channels(q, thorax, 2)


def test_equals_stock_nnunet_on_two_channels(model_folder, thorax):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    part = crop(thorax, Box((10, 12, 20), (37, 41, 52)))
    folder = model_folder(spacing=(5.0, 4.5, 4.5), gain=20.0, channels=TWO)
    predictor = nnUNetPredictor(device=CPU, use_mirroring=False, allow_tqdm=False, perform_everything_on_device=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    second = bright(part)
    both = np.stack([sitk.GetArrayFromImage(image) for image in (part, second)]).astype(np.float32)
    _, stock = predictor.predict_single_npy_array(
        both, {"spacing": list(part.GetSpacing()[::-1])}, save_or_return_probabilities=True
    )
    model = load_model(locate_folder(folder, None), CPU)
    ours = predict_ensemble([model], part, CPU, EXACT, further=[second])[0]
    assert float(np.abs(ours - stock[1]).mean()) < 1e-3
    other = predict_ensemble([model], part, CPU, EXACT, further=[image_like(both[1] * 0, part)])[0]
    assert float(np.abs(other - ours).mean()) > 1e-2  # it is looked at


def test_a_model_of_one_channel_beside_one_of_two(model_folder, thorax):
    part = crop(thorax, Box((10, 12, 20), (37, 41, 52)))
    folders = [model_folder("A__P__3d_fullres", log_odds=(2.0,)), model_folder("B__P__3d_fullres", channels=TWO)]
    models = [load_model(locate_folder(folder, None), CPU) for folder in folders]
    one = [predict_ensemble([model], part, CPU, EXACT, further=[bright(part)])[0] for model in models]
    both = predict_ensemble(models, part, CPU, EXACT, further=[bright(part)])[0]
    np.testing.assert_allclose(both, (one[0] + one[1]) / 2, atol=1e-6)
    with pytest.raises(InputError, match=r"PE-MODEL-005: .*needs 2 channels, the scan has 1"):
        predict_ensemble(models, part, CPU, EXACT)


def test_a_study_of_two_channels_by_the_command(study, model_folder, tmp_path, thorax, capsys):
    model = model_folder(log_odds=(2.0,), patch=(32, 32, 32), channels=TWO)
    out = tmp_path / "out"
    (study / "r_0001.nii.gz").unlink()
    arguments = ["-i", study, "-o", out, "-m", model, "-device", "cpu", "--fast", "--no-report", "--save-probability"]
    assert main(["predict-fused", *map(str, arguments)]) == 3
    assert "q: PE-MODEL-005" in capsys.readouterr().err
    assert sorted(path.name for path in out.glob("*.nii.gz")) == ["p.nii.gz", "p_probability.nii.gz"]
    by_hand = PEPredictor([model], device="cpu").predict(thorax, further=[bright(thorax)])
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "p_probability.nii.gz")))
    assert stored.shape == sitk.GetArrayViewFromImage(by_hand.probability).shape
    assert stored.max() == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-3)
