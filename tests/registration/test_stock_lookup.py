"""Stock nnU-Net, in fresh processes: as it was where we are switched off, and the other ways to have our classes found.

That it finds them where we are on is shown from the wheel, in tests/packaging, and for this environment by `doctor`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet.registration.ext_trainer import FOLDER

FreshPython = Callable[..., Any]

# `find_planner` as in nnunetv2.experiment_planning.plan_and_preprocess_api, `find_trainer` as in nnunetv2.run
FINDERS = """
import os, sys
import nnunetv2
from nnunetv2.utilities import find_class_by_name as lookup
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

def find_planner(name):
    folder = os.path.join(nnunetv2.__path__[0], "experiment_planning")
    return recursive_find_python_class(folder, name, current_module="nnunetv2.experiment_planning")

def find_trainer(name):
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    return recursive_find_trainer_class_by_name(name)

def path(cls):
    return cls and f"{cls.__module__}.{cls.__qualname__}"
"""


@pytest.mark.parametrize("switch", ["PE_NNUNET_REGISTER", "TORCH_DEVICE_BACKEND_AUTOLOAD"])
def test_switched_off_nnunet_is_as_it_was(fresh_python: FreshPython, switch: str) -> None:
    code = """
import torch
functions = [lookup.recursive_find_python_class, lookup._recursive_find_python_class]
answer = {
    "ours": [name for name in sys.modules if name.startswith("pe_nnunet.registration.lookup")],
    "finders": [type(finder).__module__ for finder in sys.meta_path],
    "files": [function.__code__.co_filename == lookup.__file__ for function in functions],
    "wrapped": [hasattr(function, "__wrapped__") for function in functions],
    "loader": type(lookup.__loader__).__name__,
    "planner": path(find_planner("PETARUNetPlanner")),
}
import pe_nnunet
answer["after an explicit call"] = [pe_nnunet.register(), path(find_planner("PETARUNetPlanner"))]
"""
    answer = fresh_python(FINDERS + code, **{switch: "0"})
    if switch == "TORCH_DEVICE_BACKEND_AUTOLOAD":
        assert answer["ours"] == []
    assert not [module for module in answer["finders"] if module.startswith("pe_nnunet")]
    assert answer["files"] == [True, True]
    assert answer["wrapped"] == [False, False]
    assert answer["loader"] == "SourceFileLoader"
    assert answer["planner"] is None
    assert answer["after an explicit call"] == [True, "pe_nnunet.planners.PETARUNetPlanner"]


def test_nnunets_own_way_for_trainers(fresh_python: FreshPython) -> None:
    code = """
try:
    find_trainer("PETARUNetTrainer")
except RuntimeError as error:
    answer = [str(error)]
os.environ["nnUNet_extTrainer"] = FOLDER
answer.append(path(find_trainer("PETARUNetTrainer")))
"""
    folder = f"FOLDER = {str(FOLDER)!r}\n"
    without, with_folder = fresh_python(FINDERS + folder + code, PE_NNUNET_REGISTER="0")
    assert "Could not find requested nnunet trainer PETARUNetTrainer" in without
    assert with_folder == "pe_nnunet.trainers.PETARUNetTrainer"


def test_run_works_where_registration_is_off(tmp_path: Path, fresh_python: FreshPython) -> None:
    # a console script that stands for an nnU-Net command: it says what nnU-Net's look-up finds, and what it was given
    (tmp_path / "stands_for_command.py").write_text(
        FINDERS + "def main():\n"
        "    print(path(find_planner('PETARUNetPlanner')), sys.argv, sep='\\n')\n"
        "    print(os.environ['PE_NNUNET_REGISTER'], os.environ['nnUNet_extTrainer'])\n"
        "    return 7\n"
    )
    metadata = tmp_path / "stands_for_command-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stands-for-command\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[console_scripts]\nnnUNetv2_stand_in = stands_for_command:main\n")
    code = f"""
import io, sys
from contextlib import redirect_stdout
sys.path.insert(0, {str(tmp_path)!r})
from pe_nnunet.cli import main
with redirect_stdout(io.StringIO()) as text:
    code = main(["run", "nnUNetv2_stand_in", "501", "-tr", "X", "--debug", "-h"])
answer = [code, text.getvalue()]
"""
    code, text = fresh_python(
        code, PE_NNUNET_REGISTER="0", TORCH_DEVICE_BACKEND_AUTOLOAD="0", nnUNet_extTrainer="theirs"
    )
    assert code == 7
    assert text.splitlines() == [
        "pe_nnunet.planners.PETARUNetPlanner",
        "['nnUNetv2_stand_in', '501', '-tr', 'X', '--debug', '-h']",
        f"1 theirs{os.pathsep}{FOLDER}",  # for the processes that nnU-Net spawns
    ]


def test_a_checkout_that_moved_away_breaks_import_torch_in_the_words_of_the_troubleshooting_page(
    tmp_path: Path, fresh_python: FreshPython
) -> None:
    metadata = tmp_path / "moved_away-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: moved-away\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[torch.backends]\nmoved_away = moved_away.registration:autoregister\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
try:
    import torch
except RuntimeError as error:
    answer = str(error)
"""
    assert "Failed to load the backend extension: moved_away" in fresh_python(code)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_the_hook_works_in_every_python_that_is_here(tmp_path: Path, fresh_python: FreshPython, version: str) -> None:
    python = _interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    for folder in ("nnunetv2", "nnunetv2/utilities"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "nnunetv2/utilities/find_class_by_name.py").write_text(
        "def _recursive_find_python_class(folder, class_name, current_module):\n    return 'stock'\n"
        "def recursive_find_python_class(folder, class_name, current_module):\n"
        "    return _recursive_find_python_class(folder, class_name, current_module)\n"
    )
    repository = Path(__file__).parents[2]
    code = f"""
import sys
sys.path[:0] = {[str(repository), str(tmp_path)]!r}
sys.dont_write_bytecode = True
import pe_nnunet
from pe_nnunet.registration import hook, names
names.CLASSES["Fraction"] = "fractions"
hook.autoregister()
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class as find
answer = [str(find("f", "Fraction", None)), find("f", "Other", None), pe_nnunet.register(), hook.problem()]
"""
    assert fresh_python(code, python=python, isolated=True) == ["<class 'fractions.Fraction'>", "stock", True, None]


def _interpreter(version: str) -> Path | None:
    """A Python of that version that starts (pyenv's shims exist for versions that do not)."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return Path(sys.executable)
    found = shutil.which(f"python{version}")
    candidates = [Path(found)] if found else []
    candidates += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in candidates:
        if subprocess.run([candidate, "-c", "pass"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None
