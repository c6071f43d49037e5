"""The table of networks: what follows from a line of it, and that a file and a line are all that a network takes."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pe_nnunet.networks
import pe_nnunet.planners
import pe_nnunet.trainers
from pe_nnunet.networks import NETWORKS, SegmentationNetwork, list_networks
from pe_nnunet.registration.names import CLASSES, PLANNERS, TRAINERS, load_class

REPOSITORY = Path(__file__).parents[2]

TOY = '''
"""A network without a file of its own for anything else."""

from pe_nnunet.networks.u_shaped import UShapedNetwork


class ToyUNet(UShapedNetwork):
    """Two poolings, double convolutions."""

    bytes_per_feature = 5.9
    n_poolings = 2
    residual_default = False
    recurrence_default = 0
    attention_default = False
'''
LINE = '        NetworkEntry("ToyUNet", "toy_unet"),\n'
# the look-ups as in nnunetv2.experiment_planning.plan_and_preprocess_api and nnunetv2.run
FOUND = """
import os, pickle, sys
import torch
import nnunetv2
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from pe_nnunet.networks import list_networks
from pe_nnunet.architecture import NETWORK_OF_TRAINER
import pe_nnunet

answer = {"package": pe_nnunet.__file__, "prediction": NETWORK_OF_TRAINER["PEToyUNetTrainer"].load().__name__}
answer["trainers"] = [name for name in sys.modules if name == "nnunetv2.training.nnUNetTrainer.nnUNetTrainer"]

from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from pe_nnunet.registration import probe
from pe_nnunet.trainers import PEToyUNetTrainer

folder = os.path.join(nnunetv2.__path__[0], "experiment_planning")
planner = recursive_find_python_class(folder, "PEToyUNetPlanner", current_module="nnunetv2.experiment_planning")
trainer = recursive_find_trainer_class_by_name("PEToyUNetTrainer")
plain = planner.__new__(planner)
plain.dataset_json = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}}
from pe_nnunet.planners.topology import plan_topology
architecture = plain.architecture(plan_topology((1.0,) * 3, (64,) * 3, planner.network_class.n_poolings), 8)
network = plain.build_network(architecture)
answer |= {
    "planner": f"{planner.__module__}.{planner.__qualname__}",
    "plans": planner.default_plans_name,
    "path": architecture["network_class_name"],
    "network": type(network).__name__,
    "divisor": network.divisor,
    "same": network.__class__ is trainer.network_class is planner.network_class is list_networks()["ToyUNet"],
    "trainer": f"{trainer.__module__}.{trainer.__qualname__}",
    "pickled": pickle.loads(pickle.dumps((planner, trainer))) == (planner, trainer),
    "imported": PEToyUNetTrainer is trainer,
    "doctor": {name["name"]: name["found"] for name in probe.names() if "Toy" in name["name"]},
    "missing": [name for name in probe.names() if not name["found"]],
}
"""


def test_a_network_is_one_file_and_one_line(tmp_path: Path, fresh_python: Callable[..., Any]) -> None:
    copied = tmp_path / "checkout"
    for name in ("pe_nnunet", "networks", "planners", "trainers", "dataset_conversion"):
        shutil.copytree(REPOSITORY / name, copied / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "networks" / "toy_unet.py").write_text(TOY)
    table = copied / "networks" / "__init__.py"
    last = next(line for line in reversed(table.read_text().splitlines(True)) if line.startswith(LINE[:21]))
    table.write_text(table.read_text().replace(last, last + LINE))

    answer = fresh_python(FOUND, PYTHONPATH=str(copied))
    assert Path(answer.pop("package")).is_relative_to(copied)
    assert answer == {
        "prediction": "ToyUNet",
        "trainers": [],  # prediction knows the network without importing the trainer
        "planner": "pe_nnunet.planners.PEToyUNetPlanner",
        "plans": "PEToyUNetPlans",
        "path": "pe_nnunet.networks.toy_unet.ToyUNet",
        "network": "ToyUNet",
        "divisor": [4, 4, 4],
        "same": True,
        "trainer": "pe_nnunet.trainers.PEToyUNetTrainer",
        "pickled": True,
        "imported": True,
        "doctor": {
            "PEToyUNetPlanner": "pe_nnunet.planners.PEToyUNetPlanner",
            "PEToyUNetTrainer": "pe_nnunet.trainers.PEToyUNetTrainer",
            "ToyUNet": "pe_nnunet.networks.toy_unet.ToyUNet",
        },
        "missing": [],
    }


def test_the_table_imports_nothing_heavy(fresh_python: Callable[..., Any]) -> None:
    """`import torch` may be in progress."""
    code = """
import sys
import pe_nnunet.networks, pe_nnunet.planners, pe_nnunet.registration, pe_nnunet.trainers
answer = sorted({name.split(".")[0] for name in sys.modules} & {"torch", "numpy", "scipy", "nnunetv2", "SimpleITK"})
answer += [name for name in sys.modules if name.startswith("pe_nnunet.networks.")]
"""
    assert fresh_python(code) == []


def test_every_line_leads_to_its_network() -> None:
    assert set(list_networks()) == set(NETWORKS)
    for name, entry in NETWORKS.items():
        network = entry.load()
        assert network is getattr(pe_nnunet.networks, name)
        assert issubclass(network, SegmentationNetwork)
        assert entry.path == f"{network.__module__}.{network.__qualname__}"


@pytest.mark.parametrize("name", CLASSES)
def test_planners_and_trainers_are_attributes_of_their_modules(name: str) -> None:
    cls = load_class(name)
    assert cls.__name__ == cls.__qualname__ == name
    assert load_class(name) is cls
    assert cls.__doc__
    assert pickle.loads(pickle.dumps(cls)) is cls  # noqa: S301 our own bytes
    assert copy.deepcopy(cls) is cls
    package = pe_nnunet.planners if name in PLANNERS else pe_nnunet.trainers
    assert getattr(package, name) is cls
    assert name in package.__all__


def test_the_names_of_before_are_still_there() -> None:
    """They stand in plans and checkpoints."""
    networks = ("TARUNet", "AttentionUNet", "AANet", "R2UNet", "AttentionR2UNet", "NestedUNet")
    assert set(networks) <= set(NETWORKS)
    assert {f"PE{name}Planner" for name in networks} <= set(PLANNERS)
    assert {"PETrainer", *(f"PE{name}Trainer" for name in networks)} <= set(TRAINERS)
    modules = ("tar_unet", "attention_unet", "aanet", "r2_unet", "attention_r2_unet", "nested_unet")
    for name, module in zip(networks, modules, strict=True):
        assert NETWORKS[name].path == f"pe_nnunet.networks.{module}.{name}"
        assert NETWORKS[name].plans == load_class(f"PE{name}Planner").default_plans_name == f"PE{name}Plans"


@pytest.mark.parametrize("package", [pe_nnunet.networks, pe_nnunet.planners, pe_nnunet.trainers])
def test_an_unknown_name_is_an_attribute_error(package: Any) -> None:
    with pytest.raises(AttributeError, match="PEOtherThing"):
        _ = package.PEOtherThing
