"""Say what works in this environment, and why not.

pe-nnunet doctor
pe-nnunet doctor --json      for programs; docs/troubleshooting.md lists the keys
pe-nnunet doctor --imports   where nnU-Net fails although all looks well

Which versions are installed and whether they are those that are needed, whether torch registers our planners and
trainers with nnU-Net, whether nnU-Net's folders are set, which devices there are, and which planners, trainers and
networks nnU-Net's look-up knows in a fresh process. Exit code 0 if it knows all of them, else 2.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import TYPE_CHECKING

from pe_nnunet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pe_nnunet.registration.doctor import Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet doctor`."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--imports", action="store_true", help="import every planner, trainer and network too, as nnU-Net does: slower"
    )


def run(args: argparse.Namespace) -> int:
    """Examine and report.

    Raises:
        ConfigurationError: PE-ENV-007 if a planner, trainer or network is not found.
    """
    import json

    from pe_nnunet.registration.doctor import examine

    report = examine(imports=args.imports)
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

    yield "requirements"
    yield from _table(report.requirements or {"all": "met"})

    yield "devices"
    yield from _table(report.devices or {"none": "torch cannot be imported"})
    if not any(device.startswith("cuda") for device in report.devices):
        yield from _wrapped("nnU-Net's own commands ask for CUDA unless told otherwise: add `-device cpu` (or mps)")

    yield "detection"
    there = "installed" if report.versions["ultralytics"] else "not installed: `pip install ultralytics`"
    yield from _table({"ultralytics": f"{there} (AGPL-3.0; needed to train a detector, and for nothing else)"})

    yield (
        "found by nnU-Net's own look-up in a fresh process, and imported"
        if report.imported
        else "known to nnU-Net's look-up in a fresh process (`--imports` imports each of them)"
    )
    found: dict[str, list[str]] = {}
    for name in report.names:
        if name["found"]:
            found.setdefault(f"{name['kind']}s", []).append(str(name["name"]))
    yield from _table({kind: ", ".join(names) for kind, names in found.items()})
    yield from _table(
        {f"{n['kind']} {n['name']}": f"NOT FOUND: {n['problem']}" for n in report.names if not n["found"]}
    )

    yield "nnU-Net's own way, for trainers alone, where registration is unwanted"
    yield f"  export nnUNet_extTrainer='{report.ext_trainer_folder}'"


def _table(rows: dict[str, str]) -> Iterator[str]:
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        yield from _wrapped(f"{name:<{width}}  {text}", indent=width + 2)


def _wrapped(text: str, indent: int = 0) -> list[str]:
    """Lines of a terminal's width, indented by two, all but the first by more; words and paths stay whole."""
    return textwrap.wrap(
        text,
        shutil.get_terminal_size().columns - 1,
        initial_indent="  ",
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
