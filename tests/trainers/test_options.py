"""nnU-Net's own options of training do with our trainer what they do with nnU-Net's."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import run_training_entry
from nnunetv2.training.logging import nnunet_logger
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from pe_nnunet.calibration.held_out import require_held_out
from pe_nnunet.calibration.predicted_by import checkpoints_of_predictions, require_predictions_of
from pe_nnunet.calibration.trained_on import splits_of_models
from pe_nnunet.calibration.validation_cases import cases_with_probabilities
from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.dataset.validation_record import ValidationRecord
from pe_nnunet.errors import ConfigurationError

TRAINER = "PETARUNetTrainer"


@pytest.fixture
def train(workplace, monkeypatch, tmp_path):
    """Start nnU-Net's command in this process, with results of its own; returns the fold's folder."""
    workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"], narrow=True)
    monkeypatch.setattr(LocalLogger, "plot_progress_png", lambda *_: None)  # seconds each
    monkeypatch.setattr(multiprocessing, "set_start_method", lambda *_, **__: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")

    def run(*options, fold="0"):
        command = ("nnUNetv2_train", "601", "3d_fullres", fold, "-tr", TRAINER, "-p", "PETARUNetPlans")
        monkeypatch.setattr(sys, "argv", [*command, "-device", "cpu", *map(str, options)])
        run_training_entry()
        return tmp_path / "Dataset601_Pe" / f"{TRAINER}__PETARUNetPlans__3d_fullres" / f"fold_{fold}"

    return run


def checkpoint(folder, name="final"):
    return torch.load(folder / f"checkpoint_{name}.pth", weights_only=True)


def stamp(path: Path):
    return path.stat().st_mtime_ns


def all_cases(train):
    folder = train(fold="all")
    assert checkpoint(folder)["current_epoch"] == 1
    assert len(list((folder / "validation").glob("*.nii.gz"))) == 3


def probabilities(train):
    folder = train("--npz")
    (file,) = (folder / "validation").glob("*.npz")
    values = np.load(file)["probabilities"]
    record = ValidationRecord.read(folder / "validation")
    expected = sha256((folder / "checkpoint_final.pth").read_bytes()).hexdigest()
    assert record == ValidationRecord("checkpoint_final.pth", expected, ("c",))
    cases = cases_with_probabilities([folder.parent], ["0"])
    checkpoints = checkpoints_of_predictions([folder.parent], ["0"])
    assert require_held_out(splits_of_models(checkpoints), cases) == ()
    require_predictions_of(checkpoints, cases)
    assert values.shape[0] == 2
    assert np.abs(values.astype(np.float32).sum(0) - 1).max() < 1e-2


def validation_alone(train):
    folder = train()
    before, written = stamp(folder / "checkpoint_final.pth"), folder / "validation" / "c.nii.gz"
    first = written.read_bytes()
    written.unlink()
    train("--val")
    assert written.read_bytes() == first  # with the averaged weights, as after training
    assert stamp(folder / "checkpoint_final.pth") == before


def validation_of_the_best(train):
    folder = train()
    best = folder / "checkpoint_best.pth"
    content = torch.load(best, weights_only=True)
    heads = [key for key in content["network_weights"] if key.startswith("decoder.seg_layers") and "bias" in key]
    for key in heads:  # a best that predicts PE everywhere can be told from the final one
        content["network_weights"][key][:] = torch.tensor([-50.0, 50.0])
    torch.save(content, best)
    train("--val", "--val_best", "--npz")
    assert ValidationRecord.read(folder / "validation").checkpoint == "checkpoint_best.pth"
    assert np.load(folder / "validation" / "c.npz")["probabilities"][1].mean() > 0.99


def pretrained_weights(train):
    folder = train()
    first, source = checkpoint(folder), folder.parent / "given.pth"
    for key, weight in first["network_weights"].items():
        if not key.startswith("decoder.seg_layers"):
            weight.fill_(0.125)
    torch.save(first, source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PE_NNUNET_RECIPE", "epochs=1 iterations=1 validation_iterations=1 learning_rate=0")
        weights = checkpoint(train("-pretrained_weights", source))["network_weights"]
    for key, weight in weights.items():
        if not key.startswith("decoder.seg_layers") and weight.is_floating_point():
            torch.testing.assert_close(weight, torch.full_like(weight, 0.125), msg=key)
    assert first["pe_split"]["unknown"] == ""
    assert "started from other weights" in checkpoint(folder)["pe_split"]["unknown"]


def no_checkpoints(train):
    folder = train("--disable_checkpointing")
    assert not list(folder.glob("*.pth"))
    assert ValidationRecord.read(folder / "validation") == ValidationRecord("", "", ("c",))
    assert (folder / "validation" / "summary.json").is_file()


def going_on(train):
    folder = train()
    before = checkpoint(folder)["pe_split"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PE_NNUNET_RECIPE", "epochs=3 iterations=2 validation_iterations=1 test_time_mirroring=no")
        train("--c")
    assert checkpoint(folder)["pe_split"] == before
    assert checkpoint(folder)["current_epoch"] == 3
    assert checkpoint(folder)["pe_average_updates"] == 6
    assert len((folder / "history.csv").read_text().splitlines()) == 4


def weights_and_biases(train):
    class Recorder:
        made: list = []  # noqa: RUF012

        def __init__(self, *_):
            self.keys = set()
            self.made.append(self)

        def update_config(self, config):
            self.config = config

        def log(self, key, value, step):
            self.keys.add(key)

        def log_summary(self, key, value):
            self.keys.add(key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nnunet_logger, "WandbLogger", lambda *_: Recorder())
        patch.setenv("nnUNet_wandb_enabled", "1")
        train()
    assert {
        "train_losses",
        "mean_fg_dice",
        "positive_patches",
        "predicted_share",
        "final_val/class_1_dice",
    } <= Recorder.made[0].keys


def another_split(train):
    """What the fold was trained on is not validated on, whatever the splits say later."""
    folder = train()
    raw, preprocessed = (Path(os.environ[f"nnUNet_{name}"]) / "Dataset601_Pe" for name in ("raw", "preprocessed"))
    images = {case: raw / "imagesTr" / f"{case}_0000.nii.gz" for case in "abc"}
    contents = {case: (image.read_bytes(), gzip.decompress(image.read_bytes())) for case, image in images.items()}
    hashes = {case: tuple(sha256(content).hexdigest() for content in both) for case, both in contents.items()}
    train_scans = {case: hashes[case] for case in "ab"}
    split = TrainingSplit.from_plain(checkpoint(folder)["pe_split"])
    assert split == TrainingSplit("Dataset601_Pe", "0", train_scans, {"c": hashes["c"]})
    file = preprocessed / "splits_final.json"
    kept = file.read_text()
    try:
        file.write_text(json.dumps([{"train": ["a", "c"], "val": ["b"]}]))
        for option in ("--c", "--val"):
            with pytest.raises(ConfigurationError, match=r"PE-TRAIN-010.*trained on before.*\(1: b\)"):
                train(option)
        file.write_text(json.dumps([{"train": ["b"], "val": ["c"]}]))  # a case fewer
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PE_NNUNET_RECIPE", "epochs=2 iterations=1 validation_iterations=1")
            train("--c")
        assert "PE-TRAIN-011 warning: the split is not that of the checkpoint (1: a)" in "".join(
            log.read_text() for log in folder.glob("training_log_*")
        )
        assert TrainingSplit.from_plain(checkpoint(folder)["pe_split"]).train == train_scans  # a was trained on too
    finally:
        file.write_text(kept)


OPTIONS = {
    "-f all": all_cases,
    "--npz": probabilities,
    "--val": validation_alone,
    "--val_best": validation_of_the_best,
    "-pretrained_weights": pretrained_weights,
    "--disable_checkpointing": no_checkpoints,
    "--c": going_on,
    "another split": another_split,
    "nnUNet_wandb_enabled": weights_and_biases,
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option(train, option):
    OPTIONS[option](train)
