"""Benchmarks are scripts, not a package: this loads one to test its parts."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load_script(file: str) -> ModuleType:
    """The module that a file of `benchmarks/` makes."""
    name = f"benchmark_{Path(file).stem}"
    spec = spec_from_file_location(name, FOLDER / file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look it up
    spec.loader.exec_module(module)
    return module
