"""When the look-up is extended: at once, or as soon as nnU-Net is imported; and that nothing ever breaks an import."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pe_nnunet.registration import autoregister, hook, is_registered, lookup, register

LOOKUP = """
def _recursive_find_python_class(folder, class_name, current_module, verbose=False):
    return None

def recursive_find_python_class(folder, class_name, current_module):
    return _recursive_find_python_class(folder, class_name, current_module)
"""


@pytest.fixture
def nnunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that stands for nnU-Net's look-up module, not imported yet; registration is as in a fresh process."""
    source = tmp_path / "stands_for_lookup.py"
    source.write_text(LOOKUP)
    monkeypatch.setattr(lookup, "MODULE", source.stem)
    monkeypatch.setattr(hook, "_problems", [])
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not isinstance(f, hook._LookupFinder)])
    monkeypatch.syspath_prepend(tmp_path)
    yield source
    for name in (source.stem, "comes_later"):
        sys.modules.pop(name, None)


def waiting() -> int:
    return sum(isinstance(finder, hook._LookupFinder) for finder in sys.meta_path)


def test_waits_for_nnunet_and_is_gone_afterwards(nnunet: Path) -> None:
    assert register()
    assert waiting() == 1
    module = importlib.import_module(nnunet.stem)
    assert lookup.is_extended(module)
    assert is_registered()
    assert waiting() == 0
    assert hook.problem() is None


def test_extends_at_once_where_nnunet_is_loaded(nnunet: Path) -> None:
    module = importlib.import_module(nnunet.stem)
    assert not is_registered()
    assert register()
    assert lookup.is_extended(module)
    assert waiting() == 0


def test_registering_twice_waits_once(nnunet: Path) -> None:
    assert register()
    assert register()
    assert waiting() == 1


def test_the_look_up_module_keeps_its_own_loader_and_source(nnunet: Path) -> None:
    register()
    module = importlib.import_module(nnunet.stem)
    assert type(module.__loader__) is SourceFileLoader
    assert module.__spec__ is not None
    assert type(module.__spec__.loader) is SourceFileLoader
    assert inspect.getsource(module) == LOOKUP


def test_a_spec_that_is_asked_for_and_not_loaded_changes_nothing(nnunet: Path) -> None:
    register()
    spec = importlib.util.find_spec(nnunet.stem)
    assert spec is not None
    assert spec.loader is not None
    assert spec.loader.get_source(nnunet.stem) == LOOKUP  # type: ignore[attr-defined]
    assert waiting() == 1
    assert lookup.is_extended(importlib.import_module(nnunet.stem))


def test_torch_imported_by_the_look_up_module_itself(nnunet: Path) -> None:
    nnunet.write_text("from pe_nnunet.registration import register\nregister()\n" + LOOKUP)
    (nnunet.parent / "comes_later.py").write_text("")
    module = importlib.import_module(nnunet.stem)
    importlib.import_module("comes_later")
    assert lookup.is_extended(module)
    assert waiting() == 0


def test_nnunets_own_import_error_passes_unchanged(nnunet: Path) -> None:
    nnunet.write_text("import a_package_that_is_not_there\n")
    register()
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        importlib.import_module(nnunet.stem)


def test_an_nnunet_without_the_functions_is_imported_all_the_same(nnunet: Path) -> None:
    nnunet.write_text("answer = 42\n")
    assert register()
    assert importlib.import_module(nnunet.stem).answer == 42
    assert "LookupError" in (hook.problem() or "")


def test_an_nnunet_that_is_not_installed_is_nnunets_matter(nnunet: Path) -> None:
    nnunet.unlink()
    assert register()
    with pytest.raises(ModuleNotFoundError, match=nnunet.stem):
        importlib.import_module(nnunet.stem)


class _Frozen(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError("this module is frozen")


class _Explosive(ModuleType):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"touched at {name}")


@pytest.mark.parametrize("hostile", [_Frozen, _Explosive])
def test_registration_never_raises(nnunet: Path, monkeypatch: pytest.MonkeyPatch, hostile: type[ModuleType]) -> None:
    module = hostile(nnunet.stem)
    exec(LOOKUP, object.__getattribute__(module, "__dict__"))  # noqa: S102 - our own text above
    monkeypatch.setitem(sys.modules, nnunet.stem, module)
    assert not register()
    assert "RuntimeError" in (hook.problem() or "")
    autoregister()


@pytest.mark.parametrize("value", ["0", " 0 ", "false", "No", "OFF"])
def test_switched_off(nnunet: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(hook.SWITCH, value)
    autoregister()
    assert waiting() == 0
    assert register()  # an explicit call is obeyed
    assert waiting() == 1


@pytest.mark.parametrize("value", ["1", "", "yes"])
def test_switched_on(nnunet: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(hook.SWITCH, value)
    autoregister()
    assert waiting() == 1
