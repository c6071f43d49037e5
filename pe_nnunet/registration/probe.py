"""What an nnU-Net process of this environment finds; `doctor` runs it in a fresh interpreter.

Nothing here calls `register`: whether our names resolve is what is being asked, so only torch's own entry point may
have brought them in.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pe_nnunet.networks import NETWORKS
from pe_nnunet.registration.hook import is_registered, problem
from pe_nnunet.registration.names import PLANNERS, TRAINERS


def main(*, imports: bool = True) -> None:
    """Print the findings as one line of JSON on standard output; what libraries print goes to standard error.

    Args:
        imports: Whether each class is looked up as nnU-Net does, which imports nnU-Net's trainers and planners and what
            those need. Else that is done only where `import torch` has not extended nnU-Net's look-up.
    """
    with redirect_stdout(sys.stderr):
        devices = _devices()
        imports = imports or not is_registered()
        found = names() if imports else known_names()
        findings = {"devices": devices, "names": found, "hook_problem": problem(), "imported": imports}
    print(json.dumps(findings))


def known_names() -> list[dict[str, str | None]]:
    """As `names`, by the tables that the extended look-up goes by, and whether the modules are there."""
    known = [
        *(("planner", name, module, f"{module}.{name}") for name, module in PLANNERS.items()),
        *(("trainer", name, module, f"{module}.{name}") for name, module in TRAINERS.items()),
        *(("network", name, entry.path.rpartition(".")[0], entry.path) for name, entry in NETWORKS.items()),
    ]
    return [
        {"kind": kind, "name": name, "found": path if there else None, "problem": None if there else f"no {module}"}
        for kind, name, module, path in known
        for there in [find_spec(module)]
    ]


def names() -> list[dict[str, str | None]]:
    """What nnU-Net finds in this process: kind, name, and `found` (a dotted path) or `problem` (one line) for each."""
    return [
        *(_look_up("planner", name, _planner) for name in PLANNERS),
        *(_look_up("trainer", name, _trainer) for name in TRAINERS),
        *(_look_up("network", name, lambda _, path=entry.path: _network(path)) for name, entry in NETWORKS.items()),
    ]


def _look_up(kind: str, name: str, find: Any) -> dict[str, str | None]:
    try:
        cls = find(name)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer to the question asked
        return {"kind": kind, "name": name, "found": None, "problem": _first_sentence(error)}
    if cls is None:
        return {"kind": kind, "name": name, "found": None, "problem": "the look-up does not know the name"}
    return {"kind": kind, "name": name, "found": f"{cls.__module__}.{cls.__qualname__}", "problem": None}


def _first_sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".split(". ")[0]


def _planner(name: str) -> Any:
    """As `nnUNetv2_plan_and_preprocess` looks it up."""
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = Path(nnunetv2.__path__[0]) / "experiment_planning"
    return recursive_find_python_class(str(folder), name, current_module="nnunetv2.experiment_planning")


def _trainer(name: str) -> Any:
    """As `nnUNetv2_train` and `nnUNetv2_predict` look it up."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    return recursive_find_trainer_class_by_name(name)


def _network(path: str) -> Any:
    """As nnU-Net locates the class that plans name by its dotted path."""
    from pydoc import locate

    return locate(path)


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": f"{torch.get_num_threads()} threads, {_cpu_bfloat16()}"}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            bfloat16 = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
            found[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {bfloat16}"
    if torch.backends.mps.is_available():
        found["mps"] = "bfloat16" if torch.backends.mps.is_macos_or_newer(14, 0) else "no bfloat16"
    return found


def _cpu_bfloat16() -> str:
    from pe_nnunet.precision import cpu_has_bfloat16

    return "bfloat16 in hardware" if cpu_has_bfloat16() else "no bfloat16 in hardware"
