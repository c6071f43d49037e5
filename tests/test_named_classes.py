"""Plans that name programs: refused before anything of them is imported or called, by every way that they come in."""

import json
import subprocess
import sys
from copy import deepcopy

import pytest
import torch

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model
from pe_nnunet.named_classes import TRUSTED, check_plans

ARCHITECTURE = "dynamic_network_architectures.architectures.unet"


def changed(plans, key, value):
    """Plans with one name exchanged: of the plans, of a configuration, of an architecture, or of its arguments."""
    plans = deepcopy(plans)
    (configuration,) = plans["configurations"].values()
    architecture = configuration["architecture"]
    for settings in (plans, configuration, architecture, architecture["arch_kwargs"]):
        if key in settings:
            settings[key] = value
            return plans
    architecture["arch_kwargs"][key] = value  # an argument that is imported, but was not there
    architecture["_kw_requires_import"].append(key)
    return plans


HOSTILE = [
    ("nonlin", "subprocess.Popen"),
    ("nonlin", "os.system"),
    ("norm_op", "torch.hub.load"),
    ("nonlin", "torch.nn.modules.module.torch.hub.load"),
    ("nonlin", "torch.nn.modules.module.torch.jit.ScriptModule"),  # of torch, and no part of a network
    ("nonlin", "torch.nn.functional.relu"),
    ("nonlin", "torch.nnx.LeakyReLU"),
    ("nonlin", "torch.nn"),
    ("conv_op", "dynamic_network_architectures.building_blocks.helper.np.load"),
    ("conv_op", "dynamic_network_architectures.os.system"),
    ("dropout_op", "builtins.exec"),
    ("extra", "runpy.run_path"),
    ("conv_op", ["torch.nn.Conv3d"]),
    ("conv_op", 7),
    ("conv_op", "torch.nn.Conv3d; import os"),
    ("network_class_name", "setuptools.setup"),
    ("network_class_name", "setup_that_nobody_has.run"),
    ("network_class_name", f"{ARCHITECTURE}.torch.hub.load"),
    ("network_class_name", f"{ARCHITECTURE}.Nothing"),
    ("network_class_name", None),
    ("_kw_requires_import", "nonlin"),
    ("arch_kwargs", [1]),
    ("architecture", "setuptools.setup"),
    ("label_manager", "load_pickle"),
    ("resampling_fn_data", "partial"),
    ("preprocessor_name", ["DefaultPreprocessor", "os"]),
    ("normalization_schemes", ["CTNormalization", "load_pickle"]),
    ("configurations", ["3d_fullres"]),
]


@pytest.mark.parametrize(("key", "value"), HOSTILE)
def test_names_of_anything_but_parts_of_networks_are_refused(model_folder, key, value):
    plans = json.loads((model_folder() / "plans.json").read_text())
    check_plans(plans, "plans.json")
    with pytest.raises(ConfigurationError, match="PE-MODEL-020"):
        check_plans(changed(plans, key, value), "plans.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nonlin", "torch.nn.modules.activation.GELU"),
        ("norm_op", "torch.nn.BatchNorm3d"),
        ("dropout_op", None),
        ("block", "dynamic_network_architectures.building_blocks.residual.BottleneckD"),
        ("network_class_name", "pe_nnunet.networks.tar_unet.TARUNet"),
        ("network_class_name", "dynamic_network_architectures.architectures.moved_since.PlainConvUNet"),
        ("resampling_fn_seg", "no_resampling_hack"),
    ],
)
def test_parts_of_networks_are_taken(model_folder, key, value):
    check_plans(changed(json.loads((model_folder() / "plans.json").read_text()), key, value), "plans.json")


def test_plans_that_inherit_or_are_of_an_older_nnunet_are_taken(model_folder):
    plans = json.loads((model_folder() / "plans.json").read_text())
    plans["configurations"]["3d_small"] = {"inherits_from": "3d_fullres", "patch_size": [16, 16, 16]}
    check_plans(plans, "plans.json")


PROGRAM = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
from torch import nn
class Act(nn.LeakyReLU): pass
"""


@pytest.fixture
def hostile(model_folder, tmp_path, monkeypatch):
    """A model whose plans name a program that leaves a file, and that file."""

    def make(trainer="nnUNetTrainer"):
        (tmp_path / "program").mkdir()
        (tmp_path / "program" / "some_program.py").write_text(PROGRAM)
        monkeypatch.syspath_prepend(tmp_path / "program")
        monkeypatch.delitem(sys.modules, "some_program", raising=False)
        folder = model_folder(name=f"{trainer}__nnUNetPlans__3d_fullres")
        plans = json.loads((folder / "plans.json").read_text())
        (folder / "plans.json").write_text(json.dumps(changed(plans, "nonlin", "some_program.Act")))
        path = folder / "fold_0" / "checkpoint_final.pth"
        torch.save(torch.load(path, weights_only=True) | {"trainer_name": trainer}, path)
        return folder, tmp_path / "program" / "ran"

    return make


@pytest.mark.parametrize("trainer", ["nnUNetTrainer", "PETrainer", "PETARUNetTrainer", "nnUNetTrainer_5epochs"])
def test_no_command_that_loads_a_model_runs_what_its_plans_name(hostile, tmp_path, trainer):
    folder, ran = hostile(trainer)
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-020.*some_program\.Act.*--trust-classes"):
        load_model(locate_folder(folder, None), torch.device("cpu"))
    with pytest.raises(ConfigurationError, match="PE-MODEL-020"):
        export_models([locate_folder(folder, None)], tmp_path / "x.zip")
    assert not ran.exists()
    assert not (tmp_path / "x.zip").exists()


def test_an_archive_is_refused_unless_its_names_are_trusted(hostile, tmp_path, monkeypatch, capsys):
    folder, ran = hostile()
    archive, results = tmp_path / "x.zip", tmp_path / "elsewhere"
    monkeypatch.setenv(TRUSTED, "some_program")
    export_models([locate_folder(folder, None)], archive)
    monkeypatch.setenv(TRUSTED, "")
    results.mkdir()
    monkeypatch.setenv("nnUNet_results", str(results))
    assert main(["install-model", str(archive)]) == 2
    assert "PE-MODEL-020" in capsys.readouterr().err
    assert not ran.exists()
    assert not list(results.iterdir())
    assert main(["install-model", str(archive), "--trust-classes", "some_program.Act"]) == 0


def test_nor_do_stock_commands_with_our_trainers(hostile, tmp_path):
    folder, ran = hostile("PETrainer")
    code = (
        "import torch, pe_nnunet; pe_nnunet.register()\n"
        "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor\n"
        "predictor = nnUNetPredictor(device=torch.device('cpu'), perform_everything_on_device=False)\n"
        f"predictor.initialize_from_trained_model_folder({str(folder)!r}, (0,))"
    )
    env = {"PATH": "", "PYTHONPATH": ":".join([*sys.path, str(tmp_path / "program")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert "PE-MODEL-020" in done.stderr
    assert not ran.exists()


def test_training_refuses_them_before_it_builds_anything(model_folder, tmp_path, monkeypatch):
    from pe_nnunet.trainers import PETrainer

    folder = model_folder()
    plans = changed(json.loads((folder / "plans.json").read_text()), "label_manager", "load_pickle")
    with pytest.raises(ConfigurationError, match="PE-MODEL-020"):
        PETrainer(plans, "3d_fullres", 0, json.loads((folder / "dataset.json").read_text()), torch.device("cpu"))
