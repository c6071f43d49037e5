"""The wheel, by itself in an environment of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import pe_nnunet
from pe_nnunet.registration.names import CLASSES, load_class

FreshPython = Callable[..., Any]
OUTER = ("dataset_conversion", "networks", "planners", "trainers")
INFO = f"pe_nnunet-{pe_nnunet.__version__}.dist-info"


def names(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def metadata(wheel: Path) -> Any:
    with ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{INFO}/METADATA").decode())


def test_one_import_name(wheel: Path) -> None:
    assert {name.split("/")[0] for name in names(wheel)} == {"pe_nnunet", INFO}


def test_every_module_is_in_it_once_and_nothing_else(wheel: Path, source_copy: Path) -> None:
    expected = {path.relative_to(source_copy).as_posix() for path in (source_copy / "pe_nnunet").rglob("*.py")}
    for folder in OUTER:
        expected |= {f"pe_nnunet/{path.relative_to(source_copy)}" for path in (source_copy / folder).rglob("*.py")}
    templates = "pe_nnunet/templates"
    expected |= {f"{templates}/{path.name}" for path in (source_copy / templates).iterdir()}
    shipped = [path for path in (source_copy / "pe_nnunet" / "models").rglob("*") if path.is_file()]
    expected |= {path.relative_to(source_copy).as_posix() for path in shipped}
    in_wheel = [name for name in names(wheel) if not name.startswith(INFO)]
    assert len(in_wheel) == len(set(in_wheel))
    assert set(in_wheel) == expected | {"pe_nnunet/py.typed"}


def test_licence_and_python_versions(wheel: Path) -> None:
    assert f"{INFO}/licenses/LICENSE" in names(wheel)
    told = metadata(wheel)
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == "<3.14,>=3.10"


def test_a_source_distribution_gives_the_same_wheel(wheel: Path, wheel_from_sdist: Path) -> None:
    assert names(wheel_from_sdist) == names(wheel)
    with ZipFile(wheel) as straight, ZipFile(wheel_from_sdist) as detour:
        for name in straight.namelist():
            assert straight.read(name) == detour.read(name), name


def test_the_bare_names_cannot_be_imported(fresh_python: FreshPython, wheel_python: Path) -> None:
    code = f"from importlib.util import find_spec\nanswer = [name for name in {OUTER!r} if find_spec(name)]"
    assert fresh_python(code, python=wheel_python, isolated=True) == []


@pytest.mark.parametrize("first", ["import torch", "from nnunetv2.utilities import find_class_by_name"])
def test_stock_nnunet_finds_our_classes(fresh_python: FreshPython, wheel_python: Path, first: str) -> None:
    code = f"""
import sys
{first}
from pe_nnunet.registration import probe
found = {{name["name"]: name["found"] or name["problem"] for name in probe.names()}}
shipped = [name for name in sys.modules if name.startswith("nnunetv2.training.nnUNetTrainer.variants")]
stock = [probe._planner("ExperimentPlanner").__module__, probe._trainer("nnUNetTrainer").__module__]
import pe_nnunet, pe_nnunet.networks, pe_nnunet.planners, pe_nnunet.trainers, pe_nnunet.dataset_conversion
files = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "pe_nnunet"]
answer = [found, shipped, stock, files]
"""
    found, shipped, stock, files = fresh_python(code, python=wheel_python, isolated=True)
    classes = {name: load_class(name) for name in CLASSES}
    assert {name: found[name] for name in CLASSES} == {
        n: f"{c.__module__}.{c.__qualname__}" for n, c in classes.items()
    }
    assert shipped == []  # a miss would have imported all the trainers that nnU-Net ships
    assert stock == [
        "nnunetv2.experiment_planning.experiment_planners.default_experiment_planner",
        "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
    ]
    assert all(Path(file).is_relative_to(wheel_python.parents[1]) for file in files)


def test_imports_in_isolation(wheel_python: Path) -> None:
    names = ", ".join(["pe_nnunet", *(f"pe_nnunet.{folder}" for folder in OUTER)])
    done = subprocess.run([wheel_python, "-I", "-c", f"import {names}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_scripts_start(wheel_python: Path) -> None:
    for script in ("pe-nnunet", "pe-nnunet-predict-fused"):
        done = subprocess.run(
            [wheel_python.parent / script, "--help"], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: {script} ")
