"""The look-up itself, on modules that stand for nnU-Net's."""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pe_nnunet.registration import lookup
from pe_nnunet.registration import names as table


def public(folder: str, class_name: str, current_module: str | None) -> Any:
    return ("public", folder, class_name, current_module)


def private(folder: str, class_name: str, current_module: str | None, verbose: bool = False) -> Any:
    return ("private", folder, class_name, current_module, verbose)


@pytest.fixture(autouse=True)
def one_class_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table.CLASSES, "Fraction", "fractions")


def module_with(**functions: Any) -> ModuleType:
    module = ModuleType("stands_for_nnunet")
    vars(module).update(functions)
    return module


def test_our_names_come_from_our_table_and_others_from_nnunet() -> None:
    module = module_with(recursive_find_python_class=public, _recursive_find_python_class=private)
    lookup.extend(module)
    find = module._recursive_find_python_class
    assert find("folder", "Fraction", current_module="m") is Fraction
    assert find("folder", class_name="Fraction", current_module="m", verbose=True) is Fraction
    assert find("folder", "Other", current_module="m", verbose=True) == ("private", "folder", "Other", "m", True)


def test_only_the_private_function_is_replaced() -> None:
    module = module_with(recursive_find_python_class=public, _recursive_find_python_class=private)
    assert not lookup.is_extended(module)
    lookup.extend(module)
    assert lookup.is_extended(module)
    assert module.recursive_find_python_class is public
    assert module._recursive_find_python_class.__wrapped__ is private


def test_extending_twice_wraps_once() -> None:
    module = module_with(recursive_find_python_class=public, _recursive_find_python_class=private)
    lookup.extend(module)
    once = module._recursive_find_python_class
    lookup.extend(module)
    assert module._recursive_find_python_class is once


def test_without_the_private_function_every_module_that_bound_the_public_one_gets_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, binder = module_with(recursive_find_python_class=public), module_with(recursive_find_python_class=public)
    bystander = module_with(recursive_find_python_class=private)
    for name, loaded in (("binder", binder), ("bystander", bystander), ("nothing", None)):
        monkeypatch.setitem(sys.modules, f"stands_for_nnunet_{name}", loaded)
    lookup.extend(module)
    assert module.recursive_find_python_class("folder", "Fraction", None) is Fraction
    assert binder.recursive_find_python_class is module.recursive_find_python_class
    assert binder.recursive_find_python_class("folder", "Other", None) == ("public", "folder", "Other", None)
    assert bystander.recursive_find_python_class is private


def test_looking_for_bound_names_does_not_load_lazy_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "loads_lazily.py"
    source.write_text("raise RuntimeError('loaded')\n")
    spec = importlib.util.spec_from_file_location("loads_lazily", source)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "loads_lazily", lazy)
    spec.loader.exec_module(lazy)
    module = module_with(recursive_find_python_class=public)
    lookup.extend(module)
    assert lookup.is_extended(module)
    with pytest.raises(RuntimeError, match="loaded"):  # it was lazy still
        _ = lazy.anything


def test_an_nnunet_without_either_function_is_named() -> None:
    with pytest.raises(LookupError, match=r"not one of 2\.8"):
        lookup.extend(module_with())


@pytest.mark.parametrize("name", sorted(table.PLANNERS | table.TRAINERS))
def test_every_name_in_the_table_loads_and_nnunet_accepts_it(name: str) -> None:
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    cls = table.load_class(name)
    assert cls.__name__ == name  # checkpoints and plans store the bare class name
    assert "__" not in name  # nnU-Net parses folder names at double underscores
    assert issubclass(cls, ExperimentPlanner if name in table.PLANNERS else nnUNetTrainer)
