"""Every module: in every supported Python, and without the package that not everyone may use."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
FOLDERS = (
    *("pe_nnunet", "dataset_conversion", "networks", "planners", "trainers"),
    *("tests", "benchmarks", "fuzz", "starter"),
)


def test_every_file_is_python_3_10() -> None:
    files = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(files) > 50
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 10))


def test_everything_imports_without_ultralytics(fresh_python: Callable[..., Any]) -> None:
    code = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, fullname, path, target=None):
        if fullname.split(".")[0] == "ultralytics":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

sys.meta_path.insert(0, Blocked())
import pe_nnunet

def stop(name):
    raise

modules = [m.name for m in pkgutil.walk_packages(pe_nnunet.__path__, "pe_nnunet.", onerror=stop)]
refused = []
for name in modules:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert error.name == "ultralytics", error
        refused.append(name)
pe_nnunet.PEPredictor
answer = [len(modules), refused, "ultralytics" in sys.modules]
"""
    count, refused, loaded = fresh_python(code)
    assert count > 50
    assert refused == ["pe_nnunet.detection.yolo"]  # imported by functions of its package, when they are called
    assert not loaded


def test_reading_and_cropping_do_not_load_what_few_scans_need(fresh_python: Callable[..., Any]) -> None:
    code = """
import sys
import pe_nnunet.roi, pe_nnunet.volumes
answer = sorted({"nibabel", "scipy.optimize", "torch"} & {*sys.modules})
"""
    assert fresh_python(code) == []
