"""Training from a model's weights, from the raw scans to the next command: tiny networks, an epoch of two steps."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from pe_nnunet.cli import main
from pe_nnunet.fine_tuning import FineTuneSettings, fine_tune
from pe_nnunet.inference.locate import locate_models
from pe_nnunet.inference.model import load_model
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.trainers import PETrainer
from tests.fine_tuning.conftest import OWN, RECIPE, describe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of readers that nnU-Net imports


def checkpoint(folder: Path, fold: str = "0", name: str = "checkpoint_final.pth") -> dict[str, Any]:
    # weights_only: of what other models hold beside tensors, ours keep nothing
    content: dict[str, Any] = torch.load(folder / f"fold_{fold}" / name, weights_only=True)
    return content


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    content = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)  # written by the test
    found: dict[str, torch.Tensor] = content["network_weights"]
    return found


def test_a_network_of_ours_goes_on_by_its_trainer_with_new_heads_where_labels_differ(
    nnunet: Path, tar_unet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(nnunet, labels={"background": 0, "artery": 2, "PE": 1})
    made = fine_tune(str(tar_unet), OWN, ["0"], FineTuneSettings(learning_rate=0.0, epochs=1, plans_name="Mine"))
    assert made.folder.name == "PETARUNetTrainer__Mine__3d_fullres"
    content, before = checkpoint(made.folder), weights_of(tar_unet)
    heads = {name for name in before if ".seg_layers." in name}
    now = content["network_weights"]
    assert all(torch.equal(now[name], before[name]) for name in before.keys() - heads)
    assert {now[name].shape[0] for name in heads} == {3}
    told = capsys.readouterr().out
    assert "PE-TRAIN-025" in told
    assert "outputs of the model are background, PE, of the dataset background, PE, artery" in told
    assert content["pe_first_weights"]["heads"] == "new"
    # both trainings are in the record: the model's own case c is another scan than the dataset's
    assert {*content["pe_split"]["train"]} == {"a", "b", "Dataset501_PE/c"}
    assert content["pe_split"]["train"]["Dataset501_PE/c"] == ("f" * 64,)
    assert content["pe_split"]["unknown"] == ""
    plans = json.loads((made.folder / "plans.json").read_text())
    assert (plans["dataset_name"], plans["plans_name"]) == (OWN, "Mine")
    assert plans["pe_nnunet_recipe"] == {"learning_rate": 0.0, "epochs": 1}


def test_a_residual_encoder_of_nnunets_by_the_command_and_again_after_it_was_stopped(
    nnunet: Path, resenc: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PE_NNUNET_RECIPE", f"{RECIPE} checkpoint_epochs=1")
    command = ["fine-tune", "-m", str(resenc), "-d", "701", "--epochs", "2", "-device", "cpu"]
    steps: list[int] = []
    train_step = PETrainer.train_step

    def stopped(trainer: PETrainer, batch: dict[str, Any]) -> dict[str, Any]:
        steps.append(trainer.current_epoch)
        if len(steps) == 3:  # the first step of the second epoch
            raise KeyboardInterrupt
        return train_step(trainer, batch)

    monkeypatch.setattr(PETrainer, "train_step", stopped)
    assert main(command) == 130
    folder = nnunet / "nnUNet_results" / OWN / "PETrainer__nnUNetResEncUNetPlansFrom501__3d_fullres"
    after_first = checkpoint(folder, name="checkpoint_latest.pth")
    assert after_first["pe_recipe"]["learning_rate"] == 1e-4
    assert after_first["pe_recipe"]["learning_rate"] < TrainingRecipe().learning_rate
    changed = max(
        float((after_first["pe_trained_weights"][name] - tensor).abs().max())
        for name, tensor in weights_of(resenc).items()
    )
    # a weight moves by about the rate in a step, and two were made: heads are among them, so they were kept
    assert 0 < changed < 3e-4
    digest = sha256((resenc / "fold_0" / "checkpoint_final.pth").read_bytes()).hexdigest()
    assert after_first["pe_first_weights"] == {
        "model": f"Dataset501_PE/{resenc.name}",
        "fold": "0",
        "checkpoint": "checkpoint_final.pth",
        "sha256": digest,
        "trainer": "nnUNetTrainer_500epochs",
        "heads": "kept",
    }
    # what the stock model has seen nobody can tell, and the new one says so
    assert "does not name its training scans" in after_first["pe_split"]["unknown"]
    assert {*after_first["pe_split"]["train"]} == {"a", "b"}
    told = capsys.readouterr().out
    assert "PE-TRAIN-029 warning: nnUNetTrainer_500epochs has trained the model, PETrainer goes on" in told

    assert main(command) == 0
    told = capsys.readouterr().out
    assert "went on from checkpoint_latest.pth" in told
    assert "preprocessed images: there already" in told
    assert steps == [0, 0, 1, 1, 1]
    where = "-d Dataset701_Own -tr PETrainer -p nnUNetResEncUNetPlansFrom501 -c 3d_fullres -f 0"
    assert f"pe-nnunet-predict-fused -i STUDY -o OUT {where}" in told
    assert checkpoint(folder)["pe_first_weights"]["trainer"] == "nnUNetTrainer_500epochs"
    assert (folder / "fold_0" / "validation" / "c.nii.gz").is_file()
    (location,) = locate_models(
        "701", ["PETrainer"], ["nnUNetResEncUNetPlansFrom501"], ["3d_fullres"], None
    )  # as the next command finds it
    assert load_model(location, torch.device("cpu")).patch_size == (16, 16, 16)

    final = (folder / "fold_0" / "checkpoint_final.pth").read_bytes()
    assert main(command) == 0
    assert "fold 0: trained already, /" in capsys.readouterr().out
    (folder / "fold_0" / "validation" / "summary.json").unlink()  # as if it had been stopped in the validation
    assert main(command) == 0
    assert "fold 0: trained already, now validated, /" in capsys.readouterr().out
    assert (folder / "fold_0" / "validation" / "summary.json").is_file()
    assert (folder / "fold_0" / "checkpoint_final.pth").read_bytes() == final
    assert len(steps) == 5

    # other weights under the same names would mix with these
    content = torch.load(resenc / "fold_0" / "checkpoint_final.pth", weights_only=False)  # written by the test
    content["network_weights"]["decoder.stages.0.convs.0.conv.bias"] += 1
    torch.save(content, resenc / "fold_0" / "checkpoint_final.pth")
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("PE-TRAIN-026: ")
