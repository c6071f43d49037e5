"""Say what works in this environment, and why not.

Which versions are installed, whether torch registers our planners and trainers with nnU-Net, whether nnU-Net's
folders are set, which devices there are, and which planners, trainers and networks a fresh nnU-Net process finds by its
own look-up. Exit code 0 if it finds all of them, else 2.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pe_nnunet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pe_nnunet.registration.doctor import Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet doctor`."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Examine and report.

    Raises:
        ConfigurationError: PE-ENV-007 if a planner, trainer or network is not found.
    """
    import json

    from pe_nnunet.registration.doctor import examine

    report = examine()
    print(json.dumps(report.to_dict(), indent=2) if args.json else "\n".join(_lines(report)))
    missing = [str(name["name"]) for name in report.names if not name["found"]]
    if missing:
        raise ConfigurationError(
            "PE-ENV-007",
            f"nnU-Net does not find {len(missing)} of {len(report.names)} names: {', '.join(missing)}",
            "`pe-nnunet run nnUNetv2_...` registers by itself; docs/troubleshooting.md lists the causes",
        )
    return 0


def _lines(report: Report) -> Iterator[str]:
    yield "versions"
    yield from _table({package: found or "not installed" for package, found in report.versions.items()})
    yield f"  this package lies in {report.package_folder}"

    yield "registration on `import torch`"
    yield from _table(
        {"state": f"OFF: {report.registration_problem}" if report.registration_problem else "on"}
        | {"entry point": report.entry_point or "not installed"}
        | {variable: "not set" if value is None else value for variable, value in report.switches.items()}
    )

    yield "nnU-Net's folders"
    yield from _table({variable: problem or "ok" for variable, problem in report.folders.items()})

    yield "devices"
    yield from _table(report.devices or {"none": "torch cannot be imported"})
    if not any(device.startswith("cuda") for device in report.devices):
        yield "  nnU-Net's own commands ask for CUDA unless told otherwise: add `-device cpu` (or mps)"

    yield "detection"
    there = "installed" if report.versions["ultralytics"] else "not installed: `pip install ultralytics`"
    yield from _table({"ultralytics": f"{there} (AGPL-3.0; needed to train a detector, and for nothing else)"})

    yield "found by nnU-Net's own look-up in a fresh process"
    yield from _table(
        {
            f"{n['kind']} {n['name']}": f"ok, {n['found']}" if n["found"] else f"NOT FOUND: {n['problem']}"
            for n in report.names
        }
    )

    yield "nnU-Net's own way, for trainers alone, where registration is unwanted"
    yield f"  export nnUNet_extTrainer='{report.ext_trainer_folder}'"


def _table(rows: dict[str, str]) -> Iterator[str]:
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        yield f"  {name:<{width}}  {text}"
