"""Weights of models in an ensemble: what they make of constant outputs, and that weight 0 costs nothing."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet import PEPredictor
from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.roi import crop
from pe_nnunet.voxels import Box

CPU = torch.device("cpu")
EXACT = InferenceSettings(mirroring=False, float32=True)
QUICK = InferenceSettings(mirroring=False, step=1.0)
A, B = "A__P__3d_fullres", "B__P__2d"


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.fixture
def models(model_folder):
    """One of three folds, and one of a single fold."""
    return [
        model_folder(A, folds=(0, 1, 2), log_odds=(-1.0, 2.0, 0.5)),
        model_folder(B, patch=(32, 24), spacing=(4.0, 4.0), log_odds=(3.0,)),
    ]


@pytest.fixture
def part(thorax):
    return crop(thorax, Box((10, 12, 20), (26, 28, 36)))


@pytest.mark.parametrize("weights", [(0.25, 0.75), (1.0, 3.0), (1.0, 0.0), (0.0, 1.0)])
def test_folds_share_the_weight_of_their_model_alike(models, part, weights):
    loaded = [load_model(locate_folder(folder, None), CPU) for folder in models]
    run = set()
    probability, agreement = predict_ensemble(
        loaded, part, CPU, EXACT, agreement_at=0.6, weights=weights, progress=lambda name, *_: run.add(name)
    )
    one, other = (weight / sum(weights) for weight in weights)
    expected = one * np.mean([sigmoid(value) for value in (-1.0, 2.0, 0.5)]) + other * sigmoid(3.0)
    np.testing.assert_allclose(probability, expected, atol=1e-5)
    np.testing.assert_allclose(agreement, one * 2 / 3 + other, atol=1e-6)  # 0.27 does not reach 0.6
    assert {name.split()[0] for name in run} == {n for n, w in zip((A, B), weights, strict=True) if w}


def test_a_model_of_weight_zero_is_not_even_loaded_and_the_manifest_says_what_counted(models, thorax):
    (models[1] / "fold_0" / "checkpoint_final.pth").write_bytes(b"no checkpoint")
    predictor = PEPredictor(models, device="cpu", fusion=FusionSettings(0.3), inference=QUICK, model_weights=(2, 0))
    assert [model.name for model in predictor.models] == [A]
    result = predictor.predict(thorax)
    assert [note.code for note in result.notes if note.code.startswith("PE-FUS")] == ["PE-FUS-021"]
    assert {record.model for record in result.models} == {A}
    assert result.arguments["model_weights"] == [
        {"model": A, "dataset": "Dataset501_PE", "weight": 1.0},
        {"model": B, "dataset": "Dataset501_PE", "weight": 0.0},
    ]
    highest = sitk.GetArrayViewFromImage(result.probability).max()
    assert highest == pytest.approx(np.mean([sigmoid(value) for value in (-1.0, 2.0, 0.5)]), abs=5e-3)


def test_without_weights_every_fold_counts_alike_and_the_manifest_has_their_shares(models):
    predictor = PEPredictor(models, device="cpu", fusion=FusionSettings())
    assert predictor.ensemble.weights is None
    assert [one["weight"] for one in predictor.settings()["model_weights"]] == [0.75, 0.25]


def test_arteries_may_be_told_by_a_model_that_does_not_count(model_folder, models):
    teller = model_folder("C__P__3d_fullres", regions=True, log_odds=(-2.0,))
    predictor = PEPredictor(
        [*models, teller],
        device="cpu",
        fusion=FusionSettings(),
        model_weights=(1, 1, 0),
        along_arteries=True,
    )
    assert [model.name for model in predictor.models] == [A, B]
    assert [model.name for model in predictor.ensemble.of_arteries] == [teller.name]
    assert {record.model for record in predictor.ensemble.records} == {A, B, teller.name}


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (1, -1), (0, 0), (1, float("nan")), (1, float("inf"))])
def test_impossible_weights_have_a_code(models, weights):
    with pytest.raises(ConfigurationError, match="PE-FUS-020"):
        PEPredictor(models, device="cpu", fusion=FusionSettings(), model_weights=weights)


def test_the_command_takes_weights_and_the_manifest_has_them(models, thorax, tmp_path, capsys):
    sitk.WriteImage(thorax, str(tmp_path / "scan.nii.gz"))
    command = ["predict-fused", "-i", str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path / "out"), "-m"]
    command += [*map(str, models), "-device", "cpu", "--disable_tta", "-step_size", "1", "--model-weights"]
    assert main([*command, "1"]) == 2
    assert "PE-FUS-020" in capsys.readouterr().err
    assert main([*command, "3", "1"]) == 0
    manifest = json.loads((tmp_path / "out" / "scan.json").read_text())
    for weights, same in (((6, 2), True), ((1, 1), False)):  # by which a run that is resumed knows what it has
        predictor = PEPredictor(models, device="cpu", fusion=FusionSettings(), model_weights=weights)
        assert (manifest["arguments"]["model_weights"] == predictor.settings()["model_weights"]) == same
