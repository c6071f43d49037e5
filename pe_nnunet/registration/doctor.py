"""What works in this environment, and why not: versions, switches, folders, devices, and what nnU-Net finds."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from pe_nnunet.registration.ext_trainer import FOLDER
from pe_nnunet.registration.hook import SWITCH, TORCH_SWITCH, is_switched_off
from pe_nnunet.registration.names import PLANNERS, TRAINERS
from pe_nnunet.registration.requirements import unmet_requirements

PACKAGES = (
    "pe-nnunet",
    "nnunetv2",
    "torch",
    "dynamic-network-architectures",
    "batchgeneratorsv2",
    "SimpleITK",
    "pydicom",
    "ultralytics",
)
FOLDER_VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")

# The script of a stock command has its own folder on sys.path, not the working folder that `python -c` puts there.
_PROBE = """
import sys
sys.path[:] = [p for p in sys.path if p]
from pe_nnunet.registration import probe
probe.main(imports="--imports" in sys.argv)
"""
_PROBE_SECONDS = 600


Name = dict[str, str | None]
"""What a fresh nnU-Net process makes of a planner, trainer or network: `kind`, `name`, and `found` or `problem`."""


@dataclass(frozen=True)
class Report:
    """What `examine` found.

    Attributes:
        versions: Package -> version, or None where it is not installed; with `python`.
        package_folder: Where this package lies.
        entry_point: The value of our entry point in the group `torch.backends`, or None where it is not installed.
        switches: Environment variable -> its value, or None where it is not set; only those that bear on registration.
        registration_problem: Why `import torch` does not register us, or None where it does.
        folders: nnU-Net's variable -> what is wrong with it, or None where it names a writable folder.
        devices: Device -> what it is and whether it computes bfloat16; empty where torch cannot be imported.
        names: All that nnU-Net should find.
        ext_trainer_folder: The folder to name in `nnUNet_extTrainer`, nnU-Net's own way for trainers alone.
        requirements: Package that is missing or of another version than needed -> what is wrong; empty if all is well.
        imported: Whether every name was imported, as nnU-Net does, or only its place in the look-up was checked.
    """

    versions: dict[str, str | None]
    package_folder: str
    entry_point: str | None
    switches: dict[str, str | None]
    registration_problem: str | None
    folders: dict[str, str | None]
    devices: dict[str, str]
    names: tuple[Name, ...]
    ext_trainer_folder: str
    requirements: dict[str, str]
    imported: bool

    @property
    def ok(self) -> bool:
        """Whether nnU-Net finds every planner, trainer and network."""
        return all(name["found"] for name in self.names)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON takes it, with `ok`."""
        return asdict(self) | {"ok": self.ok}


def examine(*, imports: bool = False) -> Report:
    """Examine this environment; takes as long as a fresh interpreter needs to import torch.

    Args:
        imports: Import every planner, trainer and network too, with all of nnU-Net, which takes several times as long.
            Where a requirement is not met, or nnU-Net's look-up does not know our names, that is done in any case.
    """
    unmet = unmet_requirements()
    found = _probe(imports=imports or bool(unmet))
    value = next((e.value for e in entry_points(group="torch.backends") if e.name == "pe_nnunet"), None)
    switches = {variable: os.environ.get(variable) for variable in (SWITCH, TORCH_SWITCH)}
    return Report(
        versions={"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}},
        package_folder=str(Path(__file__).parents[1]),
        entry_point=value,
        switches=switches,
        registration_problem=_why_off(value, switches) or found.get("hook_problem"),
        folders={variable: folder_problem(os.environ.get(variable)) for variable in FOLDER_VARIABLES},
        devices=found["devices"],
        names=tuple(found["names"]),
        ext_trainer_folder=str(FOLDER),
        requirements=unmet,
        imported=found["imported"],
    )


def folder_problem(value: str | None) -> str | None:
    """What is wrong with the value of one of nnU-Net's folder variables, or None.

    Args:
        value: The value, or None where the variable is not set.

    Example:
        >>> folder_problem('"/data/raw"')
        'set to "/data/raw", quotes included: take them out'
    """
    if not value:
        return "not set"
    if value[0] in "\"'" or value != value.strip():
        return f"set to {value}, quotes included: take them out" if value[0] in "\"'" else "has blanks around the path"
    path = Path(value)
    if not path.is_dir():
        return f"{value} is not a folder" if path.exists() else f"{value} does not exist"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"{value} is not writable"
    return None


def _why_off(entry_point: str | None, switches: dict[str, str | None]) -> str | None:
    if entry_point is None:
        return "the entry point is not installed: install pe-nnunet with pip, the source on the path is not enough"
    if is_switched_off():
        return f"{SWITCH}={switches[SWITCH]}"
    if switches[TORCH_SWITCH] not in (None, "1"):  # as torch reads it
        return f"{TORCH_SWITCH}={switches[TORCH_SWITCH]}"
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _probe(*, imports: bool) -> dict[str, Any]:
    """What `probe.main` prints, or the same with why it could not."""
    command = [sys.executable, "-c", _PROBE, *(["--imports"] if imports else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _nothing_found(f"a fresh Python did not answer within {_PROBE_SECONDS} s")
    if done.returncode != 0:
        return _nothing_found(_last_line(done.stderr) or f"a fresh Python ended with {done.returncode}")
    findings: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return findings


def _nothing_found(problem: str) -> dict[str, Any]:
    kinds = [*(("planner", name) for name in PLANNERS), *(("trainer", name) for name in TRAINERS)]
    names = [{"kind": kind, "name": name, "found": None, "problem": problem} for kind, name in kinds]
    return {"devices": {}, "names": names, "imported": False}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
