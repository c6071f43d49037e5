"""One epoch of every trainer on a GPU, resumed there, and a model that predicts on a CPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint

from pe_nnunet.inference import locate_folder
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.registration.names import TRAINERS, load_class

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
GPU, CPU = torch.device("cuda"), torch.device("cpu")
RUNS = [(name, configuration) for name in TRAINERS for configuration in ("2d", "3d_fullres")]


@pytest.mark.parametrize(("name", "configuration"), [run for run in RUNS if run != ("PEAANetTrainer", "2d")])
def test_training_on_a_gpu_leaves_a_model_for_any_device(workplace, name, configuration):
    scheme = "artery-pe" if name == "PEAANetTrainer" else "pe"
    planner = "PETARUNetPlanner" if name == "PETrainer" else name.replace("Trainer", "Planner")
    plans = workplace.plan(scheme, planner, [configuration])
    folder = workplace.train(scheme, name, plans, configuration, device="cuda")
    assert (folder / "fold_0" / "validation" / "summary.json").is_file()
    checkpoint = torch.load(folder / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=True)
    assert checkpoint["grad_scaler_state"] is not None  # half precision with scaled gradients, as nnU-Net trains

    image = sitk.ReadImage(str(workplace.folder / "nnUNet_raw" / "Dataset601_Pe" / "imagesTr" / "a_0000.nii.gz"))
    settings = InferenceSettings(step=1.0, float32=True)
    on_gpu, on_cpu = (
        predict_ensemble([load_model(locate_folder(folder, ["0"]), device)], image, device, settings)[0]
        for device in (GPU, CPU)
    )
    assert 0 < on_cpu.min() <= on_cpu.max() < 1
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)


class CutOffError(Exception):
    pass


def test_a_training_goes_on_where_it_was_cut_off(workplace, monkeypatch, tmp_path):
    workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"])
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setenv("nnUNet_compile", "f")
    monkeypatch.setenv("PE_NNUNET_RECIPE", "epochs=4 iterations=3 validation_iterations=1 checkpoint_epochs=1")
    folder = workplace.preprocessed("pe")
    plans, dataset = (json.loads((folder / name).read_text()) for name in ("PETARUNetPlans.json", "dataset.json"))

    def train(name, *, resume=False, until=None):
        monkeypatch.setenv("nnUNet_results", str(tmp_path / name))
        trainer = load_class("PETARUNetTrainer")(plans | {"continue_training": resume}, "3d_fullres", 0, dataset, GPU)
        maybe_load_checkpoint(trainer, resume, False)
        begin = trainer.on_epoch_start

        def on_epoch_start():
            if trainer.current_epoch == until:
                raise CutOffError
            begin()

        trainer.on_epoch_start = on_epoch_start
        trainer.run_training()
        path = next((tmp_path / name).rglob("checkpoint_final.pth"))
        return torch.load(path, map_location="cpu", weights_only=True)

    whole = train("whole")
    with pytest.raises(CutOffError):
        train("parts", until=2)
    parts = train("parts", resume=True)
    assert parts["current_epoch"] == whole["current_epoch"] == 4
    for key in ("pe_average_updates", "grad_scaler_state"):
        assert parts[key] == whole[key]
    assert parts["optimizer_state"]["param_groups"] == whole["optimizer_state"]["param_groups"]
    for key, weight in whole["pe_trained_weights"].items():  # a GPU does not sum in the same order twice
        torch.testing.assert_close(parts["pe_trained_weights"][key], weight, atol=5e-3, rtol=5e-2)
