"""From a trained model, here one of random weights, to one that ships, and what its users then see."""

import csv
import json
from html import unescape

import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.archive_install import install_models
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.shipped import SHIPPED
from pe_nnunet.volumes import image_like
from starter import pack
from tests.conftest import CLOT_HU, make_thorax

FILES = {"plans.json", "dataset.json", "fusion.json", "README.md", "SHA256SUMS", "fold_all/checkpoint_final.pth"}


@pytest.fixture
def work(model_folder, tmp_path):
    """A working folder after training, with two held-out scans."""
    folder = tmp_path / "work"
    results = folder / "nnUNet" / "nnUNet_results"
    results.mkdir(parents=True)
    trained = model_folder(patch=(32, 32, 32), log_odds=(2.0,))
    (trained / "fold_0").rename(trained / "fold_all")
    checkpoint = trained / "fold_all" / "checkpoint_final.pth"
    content = torch.load(checkpoint, weights_only=True)
    further = {"optimizer_state": {"state": torch.zeros(1000)}, "pe_recipe": {"epochs": 2}}
    torch.save(content | further | {"inference_allowed_mirroring_axes": ()}, checkpoint)
    trained.parent.rename(results / "Dataset910_Starter")
    for kind in ("ct", "emboli"):
        (folder / "held_out" / kind).mkdir(parents=True)
    for name in ("a", "b"):
        scan = make_thorax([-60, 50] if name == "a" else [20])
        sitk.WriteImage(scan, str(folder / "held_out" / "ct" / f"{name}.nii.gz"))
        hu = sitk.GetArrayFromImage(sitk.DiscreteGaussian(sitk.Cast(scan, sitk.sitkFloat32), 1.0))
        clots = image_like((abs(hu - CLOT_HU) < 15).astype("uint8"), scan)
        sitk.WriteImage(clots, str(folder / "held_out" / "emboli" / f"{name}.nii.gz"))
    with (folder / "held_out" / "patients.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("case", "patient"), ("a", "x"), ("b", "y")])
    return folder


@pytest.fixture
def shipped(work, tmp_path, monkeypatch):
    out = pack.pack(work, tmp_path / "package" / "models" / "starter", target_fp=None, device="cpu")
    monkeypatch.setitem(SHIPPED, "starter", out)
    return out


def test_a_packed_model_is_found_run_and_verified_by_its_name(shipped, tmp_path, monkeypatch, capsys):
    assert {path.relative_to(shipped).as_posix() for path in shipped.rglob("*") if path.is_file()} == FILES
    checkpoint = shipped / "fold_all" / "checkpoint_final.pth"
    stored = torch.load(checkpoint, weights_only=True)
    assert {value.dtype for value in stored["network_weights"].values()} == {torch.float16}
    assert "optimizer_state" not in stored
    assert {value.dtype for value in read_checkpoint(checkpoint)["network_weights"].values()} == {torch.float32}
    card = (shipped / "README.md").read_text()
    assert pack.NOTICE in card
    assert "-m starter" in card
    assert "license: apache-2.0" in card

    scan, out = tmp_path / "scan.nii.gz", tmp_path / "out"
    sitk.WriteImage(make_thorax(), str(scan))
    (tmp_path / "here" / "starter").mkdir(parents=True)  # a folder of that name, and no model
    monkeypatch.chdir(tmp_path / "here")
    capsys.readouterr()
    assert main(["predict-fused", "-i", str(scan), "-o", str(out), "--model", "starter", "-device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "PE-MODEL-031" not in said
    assert f"Notice of the model: {pack.NOTICE}" in said
    manifest = json.loads((out / "scan.json").read_text())
    (terms,) = manifest["model_terms"]
    assert (terms["notice"], terms["licence"]) == (pack.NOTICE, "Apache-2.0")
    assert manifest["arguments"]["fusion_from"] == "starter"
    for page in ("scan_report.html", "report.html"):
        assert f'<p class="notice">starter: {pack.NOTICE}</p>' in unescape((out / page).read_text())

    assert main(["verify", "starter"]) == 0
    assert "as it should be" in capsys.readouterr().out
    assert main(["calibrate", "-m", "starter", "--scans", str(scan), "--labels", str(scan.parent)]) == 2
    assert "PE-MODEL-032" in capsys.readouterr().err

    archive = tmp_path / "model.zip"
    assert main(["export-model", "-o", str(archive), "-m", "starter"]) == 0
    (folder,), _, _ = install_models(archive, tmp_path / "results")
    assert folder == tmp_path / "results" / "Dataset501_PE" / "starter"
    assert PEPredictor([folder], device="cpu").choice.source == "starter"

    with checkpoint.open("ab") as file:
        file.write(b"\0")
    assert main(["verify", "starter"]) == 3
    assert "is not the file of SHA256SUMS" in capsys.readouterr().out


def test_a_model_that_is_too_large_stays_out(work, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "MOST_BYTES", 1000)
    for step in ("calibrate", "describe"):
        monkeypatch.setattr(pack, step, lambda *_: None)
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-003: .* MB"):
        pack.pack(work, tmp_path / "out" / "starter")
    assert not (tmp_path / "out").exists()
