"""Duke's model in both of its layouts: it is nnU-Net's own prediction that comes out, under the terms it is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from safetensors.torch import save_file

from pe_nnunet.cli import main
from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.published import PUBLISHED
from pe_nnunet.model_import import import_model
from pe_nnunet.model_import.layouts import find_layout
from tests.model_import.conftest import (
    MODEL,
    PATCH,
    make_network,
    write_nnunet_layout,
    write_portable_layout,
)

PLANNED = (1.0, 0.7373045682907104, 0.7373045682907104)  # mm (z, y, x)
DOI = "10.1007/s10278-026-01958-4"


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    return make_network(0)


def noise(shape, spacing_zyx):
    image = sitk.GetImageFromArray(np.random.default_rng(3).uniform(-300, 400, shape).astype(np.float32))
    image.SetSpacing(spacing_zyx[::-1])
    image.SetOrigin((-20, 7, 300))
    return image


def ours(folder, image):
    predictor = PEPredictor([folder], device="cpu", on_no_lungs="full-volume")
    return sitk.GetArrayFromImage(predictor.predict(image).probability)


def stock(folder, image, fold):
    """nnU-Net's own; of a single window the Gaussian falls out, and in its half precision would blur the corners."""
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, use_gaussian=False)
    predictor.initialize_from_trained_model_folder(str(folder), (fold,))
    _, probabilities = predictor.predict_single_npy_array(
        sitk.GetArrayFromImage(image)[None],
        {"spacing": list(image.GetSpacing()[::-1])},
        save_or_return_probabilities=True,
    )
    assert probabilities[1].std() > 0.02  # the weights say something
    return probabilities[1]


def test_the_released_folder_predicts_as_nnunet_does(network, tmp_path, results):
    folder = write_nnunet_layout(tmp_path / "released", {0: network, 1: make_network(1)})
    image = noise(PATCH, PLANNED)
    expected = (stock(folder, image, 0) + stock(folder, image, 1)) / 2  # of folds we average probabilities
    np.testing.assert_allclose(ours(folder, image), expected, atol=1e-3, rtol=0)  # it keeps logits in half precision


def test_a_portable_folder_becomes_the_same_model(network, tmp_path, results, capsys):
    weights = {f"segmentation_model.{name}": value for name, value in network.state_dict().items()}
    path = write_portable_layout(tmp_path / "portable", weights)
    assert main(["import-model", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "CC-BY-NC-4.0" in printed
    assert DOI in printed
    folder = results / "Dataset256_PE" / MODEL
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*")) == [
        "dataset.json",
        "fold_all/checkpoint_final.pth",
        "plans.json",
    ]
    stated = json.loads((folder / "dataset.json").read_text())
    assert (stated["licence"], stated["labels"]) == ("CC-BY-NC-4.0", {"background": 0, "PE": 1})
    assert DOI in stated["citation"]
    image = noise((6, 20, 18), (2.0, 0.9, 0.9))
    found = ours(folder, image)
    released = write_nnunet_layout(tmp_path / "released", {"all": network})
    np.testing.assert_array_equal(found, ours(released, image))
    np.testing.assert_allclose(found, stock(folder, image, "all"), atol=1e-3, rtol=0)


def test_every_form_of_the_portable_weights_is_read(network, tmp_path, results):
    full = network.state_dict()
    once = {name: value for name, value in full.items() if "all_modules" not in name and "decoder.encoder" not in name}
    assert len(once) < len(full) / 3
    folder = tmp_path / "safe"
    write_portable_layout(folder, {})
    (folder / "pytorch_model.bin").unlink()
    save_file({f"segmentation_model.{k}": v.half() for k, v in once.items()}, folder / "model.safetensors")
    forms = {
        "with all names": write_portable_layout(
            tmp_path / "a", {f"segmentation_model.{k}": v for k, v in full.items()}
        ),
        "of a parallel network": write_portable_layout(
            tmp_path / "b", {f"module.segmentation_model.{k}": v for k, v in once.items()}
        ),
        "of a compiled network": write_portable_layout(
            tmp_path / "c", {f"module._orig_mod.{k}": v for k, v in once.items()}
        ),
        "safetensors in half precision": folder / "model.safetensors",
    }
    for number, (form, path) in enumerate(forms.items(), 300):
        made = import_model(path, number, "Duke")
        size = (made.folder / "fold_all" / "checkpoint_final.pth").stat().st_size
        assert size < 8 * made.parameters + 300_000, form  # what has several names is stored once
        held = torch.load(made.folder / "fold_all" / "checkpoint_final.pth", weights_only=True)["network_weights"]
        assert held.keys() == full.keys(), form
        for name, value in full.items():
            expected = value.half().float() if "half" in form else value
            assert torch.equal(held[name], expected), (form, name)
        assert made.parameters == sum(p.numel() for p in network.parameters())


def test_the_nnunet_layout_is_taken_in_with_all_folds_as_they_are(network, tmp_path, results, capsys):
    released = write_nnunet_layout(tmp_path / "repository", {0: network, 3: network, "all": network})
    assert main(["import-model", str(tmp_path / "repository"), "-d", "301", "--name", "Duke"]) == 0
    folder = results / "Dataset301_Duke" / MODEL
    for fold in ("0", "3", "all"):
        file = Path(f"fold_{fold}", "checkpoint_final.pth")
        assert (folder / file).read_bytes() == (released / file).read_bytes()
    assert json.loads((folder / "plans.json").read_text())["dataset_name"] == "Dataset301_Duke"
    assert json.loads((folder / "dataset.json").read_text())["licence"] == "CC-BY-NC-4.0"
    assert capsys.readouterr().out.count("SHA-256 of fold_") == 3
    assert main(["import-model", str(released / "fold_0" / "checkpoint_final.pth"), "-d", "301"]) == 2
    assert "PE-MODEL-009" in capsys.readouterr().err


def test_a_checkpoint_by_its_bare_name_is_that_of_its_folder(tmp_path, monkeypatch):
    folder = write_nnunet_layout(tmp_path, {})
    (folder / "fold_0").mkdir()
    (folder / "fold_0" / "checkpoint_final.pth").touch()
    monkeypatch.chdir(folder / "fold_0")
    layout = find_layout(Path("checkpoint_final.pth"))
    assert (layout.model, layout.source) == (PUBLISHED["duke"], folder)


def test_terms_are_said_kept_and_shown(network, tmp_path, results, capsys):
    folder = write_nnunet_layout(tmp_path / "released", {0: network})
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    sitk.WriteImage(noise(PATCH, (1.0, 0.7, 0.7)), str(scans / "case.nii.gz"))
    command = ["predict-fused", "-i", str(scans), "-o", str(out), "-m", str(folder), "--on-no-lungs", "full-volume"]
    assert main([*command, "-device", "cpu", "--disable_tta"]) == 0
    terms = {
        "model": MODEL,
        "dataset": "Dataset256_PE",
        "licence": "CC-BY-NC-4.0",
        "citation": PUBLISHED["duke"].citation,
        "notice": "",
    }
    assert json.loads((out / "case.json").read_text())["model_terms"] == [terms]
    for shown in (capsys.readouterr().out, *((out / p).read_text() for p in ("case_report.html", "report.html"))):
        assert "CC-BY-NC-4.0" in shown
        assert DOI in shown


def test_own_models_and_other_plans_have_no_terms(network, tmp_path, results, capsys):
    folder = write_nnunet_layout(tmp_path / "own", {0: network})
    plans = json.loads((folder / "plans.json").read_text())
    plans["foreground_intensity_properties_per_channel"]["0"]["mean"] = 40.0
    (folder / "plans.json").write_text(json.dumps(plans))
    assert PEPredictor([folder], device="cpu").ensemble.terms == ()
    assert main(["import-model", str(folder)]) == 2
    assert "PE-MODEL-021" in capsys.readouterr().err
