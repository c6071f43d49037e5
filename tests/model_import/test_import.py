"""AANet's weights as an nnU-Net model: what comes out is the authors' own arithmetic."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from pe_nnunet.cli import main
from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.windows import window_corners
from pe_nnunet.model_import import import_model
from pe_nnunet.networks import AANet
from tests.networks.originals import aanet, aanet_weights

PUBLISHED = {"stem": 16, "widths": (64, 96, 128, 160), "down": (2, 3, 3, 3), "up": (1, 2, 2), "aspp": 32, "head": 16}
DATA = Path(os.environ.get("PE_NNUNET_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
MODEL = "PEAANetTrainer__PEAANetPlans__3d_fullres"
PATCH = (32, 32, 32)


@pytest.fixture(scope="module")
def weights():
    torch.set_num_threads(1)
    return aanet_weights(**PUBLISHED)


def saved(content, folder):
    torch.save(content, folder / "aanet.pth")
    return folder / "aanet.pth"


def with_patch(folder, patch):
    """The model with smaller windows: one of 128 takes a minute."""
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["patch_size"] = list(patch)
    (folder / "plans.json").write_text(json.dumps(plans))
    return folder


def far_outside_the_window(shape):
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.uniform(-3000, 4000, shape).astype(np.float32))
    image.SetOrigin((-20, 7, 300))
    return image


def own_input(image):
    """What AANet's authors give to their network: HU clipped to -100..500 and scaled to 0..1."""
    hu = torch.from_numpy(sitk.GetArrayFromImage(image))
    return (hu.clip(-100, 500) + 100) / 600


def predicted(folder, image, **options):
    predictor = PEPredictor([folder], device="cpu", on_no_lungs="full-volume", **options)
    return sitk.GetArrayFromImage(predictor.predict(image).probability)


def test_the_model_folder_says_what_was_published(weights, results, tmp_path, capsys):
    checkpoint = saved({"epoch": 7, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, tmp_path)
    assert main(["import-model", str(checkpoint), "-d", "900"]) == 0
    folder = results / "Dataset900_AANet" / MODEL
    assert "15.4 million parameters" in capsys.readouterr().out
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "dataset.json",
        "fold_0/checkpoint_final.pth",
        "plans.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == [MODEL]
    plans = json.loads((folder / "plans.json").read_text())
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["spacing"] == [1, 1, 1]
    assert configuration["patch_size"] == [128, 128, 128]
    assert configuration["resampling_fn_data_kwargs"]["order"] == 1
    sizes = configuration["architecture"]["arch_kwargs"]
    assert sizes["features_per_stage"] == [16, 64, 96, 128, 160]
    assert (sizes["encoder_blocks"], sizes["decoder_blocks"]) == ([2, 3, 3, 3], [1, 2, 2])
    assert list(json.loads((folder / "dataset.json").read_text())["labels"]) == ["background", "artery", "PE"]
    assert "SHA-256" in (folder / "dataset.json").read_text()
    model = PEPredictor([folder], device="cpu").models[0]
    assert (model.pe_channel, model.regions, model.mirror_axes) == (1, True, ())


def test_one_window_is_the_authors_arithmetic(weights, results, tmp_path):
    folder = with_patch(import_model(saved(weights, tmp_path), 900).folder, PATCH)
    image = far_outside_the_window(PATCH)
    found = predicted(folder, image)
    x = own_input(image)[None, None]
    with torch.no_grad():
        network = AANet.from_reference(weights)(x).sigmoid()[0, 1]
        own = aanet(weights, x, PUBLISHED["down"], PUBLISHED["up"])[0, 1]
    assert found.std() > 0.05  # the weights say something
    np.testing.assert_allclose(found, network, atol=1e-5, rtol=0)
    np.testing.assert_allclose(found, own, atol=1e-3, rtol=0)  # deep float32 arithmetic in another order


def test_several_windows_are_the_authors_arithmetic_on_the_same_windows(weights, results, tmp_path):
    folder = with_patch(import_model(saved(weights, tmp_path), 900).folder, PATCH)
    image = far_outside_the_window((32, 56, 40))
    found = predicted(folder, image, inference=InferenceSettings(step=0.75, batch_size=1))
    x = own_input(image)
    corners = window_corners(np.ones(x.shape, bool), PATCH, 0.75)
    assert corners == [(0, 0, 0), (0, 0, 8), (0, 24, 0), (0, 24, 8)]
    covered = torch.zeros(x.shape)
    for z, y, c in corners:
        covered[z : z + 32, y : y + 32, c : c + 32] += 1
    network = AANet.from_reference(weights)
    for z, y, c in corners:
        place = slice(z, z + 32), slice(y, y + 32), slice(c, c + 32)
        with torch.no_grad():
            own = network(x[place][None, None]).sigmoid()[0, 1]
        alone = covered[place] == 1
        assert alone.any()
        np.testing.assert_allclose(found[place][alone], own[alone], atol=1e-5, rtol=0)


def test_the_originals_own_outputs_come_out(results, tmp_path):
    path = DATA.parent / "reference" / "aanet_100.npz"
    if not path.is_file():
        pytest.skip(f"no reference vectors at {path}")
    with np.load(path, allow_pickle=False) as stored:
        parameters = {key[6:]: torch.from_numpy(stored[key]) for key in stored.files if key.startswith("param/")}
        x, expected = stored["input"][0, 0], stored["output/pe_probability"][0, 0]
    folder = with_patch(import_model(saved(parameters, tmp_path), 900).folder, x.shape)
    image = sitk.GetImageFromArray(x * 600 - 100)
    np.testing.assert_allclose(predicted(folder, image), expected, atol=1e-4, rtol=0)


def test_stock_prediction_and_ours_agree(results, tmp_path):
    folder = with_patch(import_model(saved(small(), tmp_path), 900).folder, PATCH)
    image = far_outside_the_window((40, 56, 48))
    scans = tmp_path / "scans"
    scans.mkdir()
    sitk.WriteImage(image, str(scans / "case.nii.gz"))
    command = ["-d", "900", "-tr", "PEAANetTrainer", "-p", "PEAANetPlans", "-step_size", "0.75", "-device", "cpu"]
    options = ["--on-no-lungs", "full-volume", "--nms-mm", "10", "--min-embolus-mm3", "0", "--save-probability"]
    assert main(["predict-fused", "-i", str(scans), "-o", str(tmp_path / "out"), *command, *options]) == 0
    ours = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "case_probability.nii.gz")))
    settings = json.loads((tmp_path / "out" / "case.json").read_text())["settings"]
    assert settings["nms_mm"] == 10

    stock = nnUNetPredictor(tile_step_size=0.75, device=torch.device("cpu"), perform_everything_on_device=False)
    stock.initialize_from_trained_model_folder(str(folder), (0,))
    _, probabilities = stock.predict_single_npy_array(
        sitk.GetArrayFromImage(image)[None], {"spacing": [1.0, 1.0, 1.0]}, save_or_return_probabilities=True
    )
    assert ours.std() > 0.01
    apart = np.abs(probabilities[1] - ours)
    assert apart.mean() < 1e-3
    assert np.quantile(apart, 0.99) < 5e-3  # in the corners stock's half precision hardly knows the Gaussian's weight


def test_a_dataset_that_has_the_id_gets_the_model_beside_its_own(weights, results, tmp_path):
    (results.parent / "nnUNet_raw" / "Dataset501_MyPE").mkdir()
    checkpoint = saved(weights, tmp_path)
    assert import_model(checkpoint, 501).folder.parent == results / "Dataset501_MyPE"


SMALL = {"stem": 4, "widths": (8, 8, 8, 8), "down": (1, 1, 1, 1), "up": (1, 1, 1), "aspp": 4, "head": 4}


def small(**changes):
    return aanet_weights(**{**SMALL, **changes})


def without(name):
    return {key: value for key, value in small().items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("block22.conv.0.conv1.conv.weight"), "block22.conv.0.conv1.conv.weight"),
        (without("in_conv.conv.weight"), "in_conv.conv.weight"),
        ({"state_dict": {"layer.weight": torch.zeros(2, 2)}}, "not AANet's"),
        (small(channels=2), "2 image channels"),
        (small() | {"in_conv.norm.bias": torch.full((4,), torch.nan)}, "in_conv.norm.bias"),
        ({"epoch": 3}, "no weights"),
        ([1, 2], "no weights"),
        ({"state_dict": small(), "settings": Path("x")}, "cannot read"),
    ],
)
def test_other_checkpoints_are_refused(results, tmp_path, capsys, content, message):
    assert main(["import-model", str(saved(content, tmp_path)), "-d", "900"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("PE-MODEL-008")
    assert message in line
    assert not list(results.iterdir())


def test_no_file_a_damaged_one_a_taken_id_and_a_second_import(results, tmp_path, capsys):
    def code(*arguments):
        assert main(["import-model", *map(str, arguments)]) == 2
        return capsys.readouterr().err.split(":")[0]

    checkpoint = saved(small(), tmp_path)
    assert code(tmp_path / "none.pth", "-d", 900) == "PE-MODEL-002"
    (tmp_path / "damaged.pth").write_bytes(checkpoint.read_bytes()[:5000])
    assert code(tmp_path / "damaged.pth", "-d", 900) == "PE-MODEL-008"
    import_model(checkpoint, 900)
    assert code(checkpoint, "-d", 900) == "PE-MODEL-009"
    assert code(checkpoint, "-d", 900, "--name", "Other") == "PE-ENV-003"
    assert code(checkpoint, "-d", 0) == "PE-CONV-001"
