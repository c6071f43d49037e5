"""The command line: one module a command, which parses and calls; everything heavy is imported inside `run`.

A command module has `configure(parser)`, which adds its arguments, and `run(args)`, which returns an exit code:
0 done, 1 wrong usage, 2 nothing could be done, 3 some cases failed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from pe_nnunet.cli.parser import USAGE, Parser
from pe_nnunet.cli.terminal import print_traceback, shown_output
from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.errors.shown import shown

DONE, NOTHING_DONE, SOME_FAILED = 0, 2, 3
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")  # a path has one slash of two

_OVERVIEW = """Pulmonary embolism in CT pulmonary angiography, as an nnU-Net v2 plugin.

pe-nnunet doctor                                   what works here
pe-nnunet import-model aanet.pth                   published weights
pe-nnunet predict-fused -i STUDY -o OUT -m MODEL   find emboli
"""
_EPILOG = "`pe-nnunet COMMAND --help` describes one. Research software, not a medical device."

GROUPS: dict[str, dict[str, str]] = {
    "find emboli": {
        "predict-fused": "find emboli in scans with an ensemble of trained models",
        "detect": "boxes of lungs and emboli in scans with a trained detector",
        "serve": "find emboli in studies as they arrive, and send what was found back",
    },
    "models": {
        "import-model": "make a published model, AANet's or Duke's, an nnU-Net model",
        "install-model": "take in models that export-model packed",
        "export-model": "pack models, calibration and detector into one zip file",
    },
    "your own training": {
        "next": "list the predicted scans that are worth correcting first, and why",
        "correct": "take labels that you edited in 3D Slicer, OHIF or ITK-SNAP into a dataset",
        "fine-tune": "train on your own scans from the weights of a trained model",
        "train-folds": "train several folds and models, on all GPUs of a machine or a cluster",
        "calibrate": "choose thresholds and weights on the scans that each fold was not trained on",
        "find-best": "choose models, ensembles and thresholds by cross-validation, for emboli",
        "train-detector": "train the YOLO detector of lungs and emboli on slices",
        "check-fit": "whether network, loss and data fit together: learn a few patches by heart",
        "analyse": "how rare the target is, and which patches training draws",
        "run": "start an nnU-Net command with our planners and trainers registered",
    },
    "data": {
        "convert": "DICOM, NIfTI, NRRD or MHA to an nnU-Net dataset, cropped to the lungs",
        "slices": "volumes to DICOM series or PNG slices and back, with their masks",
        "phantom": "write synthetic CTPA scans with exact truth",
    },
    "evaluation": {
        "evaluate": "score predictions against labels: voxels, emboli, scans",
        "compare": "compare two methods scored on the same scans, with a paired test",
        "reproduce": "score models, published ones too, on public datasets: the table that a paper prints",
    },
    "maintenance": {
        "doctor": "say what works in this environment, and why not",
        "demo": "the whole chain on a synthetic cohort, ending in numbers and a picture",
        "verify": "whether models and results are whole, and as they were written",
        "report-case": "an anonymised bundle of a case that fails, for a report of the failure",
        "completion": "print what lets a shell complete commands and options",
    },
}
"""What people need, the first need first -> command -> what it is for."""

COMMANDS: dict[str, str] = {name: text for group in GROUPS.values() for name, text in group.items()}


RENAMED: dict[tuple[str, str], str] = {
    ("convert", "--roi"): "--lung-finder",
    ("convert", "--min-embolus-mm3"): "--warn-below-mm3",
    ("calibrate", "--volumes"): "--min-embolus-mm3",
    ("find-best", "--max-false-positives"): "--target-fp",
}
"""Command and former spelling of an option -> the one of today."""

FORMER_COMMANDS: dict[str, str] = {"import-aanet": "import-model"}
"""Former name of a command, which is still understood -> the one of today."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pe-nnunet ARGS`.

    Args:
        argv: The arguments without the program's name; `sys.argv[1:]` if None.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = FORMER_COMMANDS.get(arguments[0], arguments[0]) if arguments else ""
    if name in COMMANDS:
        return _run_command(name, arguments[1:])
    overview().parse_args(arguments)
    return USAGE


def main_predict_fused() -> int:
    """Run `pe-nnunet-predict-fused`."""
    return _run_command("predict-fused", sys.argv[1:], "pe-nnunet-predict-fused")


def command_parser(name: str, prog: str = "", parser: Parser | None = None) -> Parser:
    """The parser of a command.

    Args:
        name: A key of `COMMANDS`.
        prog: What the usage line calls it; `pe-nnunet NAME` if empty.
        parser: To configure; a new one if None.
    """
    module = _module(name)
    parser = parser or Parser(prog=prog or f"pe-nnunet {name}", description=module.__doc__)
    module.configure(parser)
    parser.add_common()
    return parser


def _module(name: str) -> Any:
    return import_module(f"pe_nnunet.cli.{name.replace('-', '_')}")


def overview() -> Parser:
    """The parser of `pe-nnunet` itself, whose help lists the commands by what they are for."""
    parser = Parser(prog="pe-nnunet", usage="%(prog)s COMMAND ...", description=_OVERVIEW, epilog=_EPILOG)
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help=argparse.SUPPRESS)
    for title, commands in GROUPS.items():
        group = parser.add_argument_group(title)
        for name, text in commands.items():  # no options: argparse lays out and wraps what they are for
            group._group_actions.append(argparse.Action([], name, metavar=name, help=text))
    add_version(parser)
    return parser


def add_version(parser: Parser) -> None:
    """Add what `pe-nnunet` without a command understands."""
    from pe_nnunet import __version__

    group = parser.add_argument_group("help")
    group.add_argument("-h", "--help", action="help", help="show this text and exit")
    group.add_argument("--version", action="version", version=f"pe-nnunet {__version__}", help="show it and exit")


def _refuse_renamed(parser: Parser, command: str, arguments: Sequence[str]) -> None:
    for argument in arguments:
        now = RENAMED.get((command, argument.partition("=")[0]))
        if now is not None:
            parser.error(f"{argument.partition('=')[0]} is now called {now}")


def _refuse_addresses(command: str, args: argparse.Namespace) -> None:
    """An address in object storage where a path is expected: it must not become a folder of that name."""
    values = [one for value in vars(args).values() for one in (value if isinstance(value, list) else [value])]
    for one in values:
        if isinstance(one, Path) and _ADDRESS.match(one.as_posix()):
            raise ConfigurationError(
                "PE-CLU-021",
                f"{command} does not take {one.as_posix().replace(':/', '://', 1)} here",
                "predict-fused takes s3://BUCKET/PREFIX for -i, -o and in --studies; else fetch what it holds first",
            )


def _run_command(name: str, arguments: Sequence[str], prog: str = "") -> int:
    parser = command_parser(name, prog)
    try:
        _refuse_renamed(parser, name, arguments)
        with nullcontext() if name == "run" else shown_output():  # nnU-Net's own commands print as they do without us
            args = parser.parse_args(arguments)
            _refuse_addresses(name, args)
            return int(_module(name).run(args))
    except PEError as error:
        if "--debug" in arguments:
            print_traceback()
        print(error, file=sys.stderr)
        return NOTHING_DONE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as under `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOTHING_DONE
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line for the user, the rest with --debug
        if "--debug" in arguments:
            print_traceback()
        print(
            f"PE-ENV-006: {type(error).__name__}: {shown(str(error))}; see it whole with --debug",
            file=sys.stderr,
        )
        return NOTHING_DONE
