"""The command line: one module a command, which parses and calls; everything heavy is imported inside `run`.

A command module has `configure(parser)`, which adds its arguments, and `run(args)`, which returns an exit code:
0 done, 1 wrong usage, 2 nothing could be done, 3 some cases failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import NoReturn

from pe_nnunet.cli.terminal import print_traceback, shown_output
from pe_nnunet.errors import PEError
from pe_nnunet.errors.shown import shown

DONE, USAGE, NOTHING_DONE, SOME_FAILED = 0, 1, 2, 3

COMMANDS: dict[str, str] = {
    "demo": "the whole chain on a synthetic cohort, ending in numbers and a picture",
    "phantom": "write synthetic CTPA scans with exact truth",
    "convert": "DICOM, NIfTI, NRRD or MHA to an nnU-Net dataset, cropped to the lungs",
    "slices": "volumes to DICOM series or PNG slices and back, with their masks",
    "import-model": "make a published model, AANet's or Duke's, an nnU-Net model",
    "fine-tune": "train on your own scans from the weights of a trained model",
    "train-detector": "train the YOLO detector of lungs and emboli on slices",
    "detect": "boxes of lungs and emboli in scans with a trained detector",
    "calibrate": "choose thresholds and weights on the scans that each fold was not trained on",
    "predict-fused": "find emboli in scans with an ensemble of trained models",
    "export-model": "pack models, calibration and detector into one zip file",
    "install-model": "take in models that export-model packed",
    "verify": "whether models and results are whole, and as they were written",
    "evaluate": "score predictions against labels: voxels, emboli, scans",
    "compare": "compare two methods scored on the same scans, with a paired test",
    "find-best": "choose models, ensembles and thresholds by cross-validation, for emboli",
    "reproduce": "score models, published ones too, on public datasets: the table that a paper prints",
    "check-fit": "whether network, loss and data fit together: learn a few patches by heart",
    "analyse": "how rare the target is, and which patches training draws",
    "run": "start an nnU-Net command with our planners and trainers registered",
    "doctor": "say what works in this environment, and why not",
}


RENAMED: dict[tuple[str, str], str] = {
    ("convert", "--roi"): "--lung-finder",
    ("convert", "--min-embolus-mm3"): "--warn-below-mm3",
    ("calibrate", "--volumes"): "--min-embolus-mm3",
    ("find-best", "--max-false-positives"): "--target-fp",
}
"""Command and former spelling of an option -> the one of today."""

FORMER_COMMANDS: dict[str, str] = {"import-aanet": "import-model"}
"""Former name of a command, which is still understood -> the one of today."""


class _Parser(argparse.ArgumentParser):
    """argparse with exit code 1 for wrong usage, and a `--debug` of its own on every command."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {shown(message)}\n")


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
        return _run_command(name, arguments[1:], f"pe-nnunet {name}")
    _overview().parse_args(arguments)
    return USAGE


def main_predict_fused() -> int:
    """Run `pe-nnunet-predict-fused`."""
    return _run_command("predict-fused", sys.argv[1:], "pe-nnunet-predict-fused")


def _overview() -> argparse.ArgumentParser:
    from pe_nnunet import __version__

    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    parser = _Parser(
        prog="pe-nnunet",
        description="Pulmonary embolism in CT pulmonary angiography, as an nnU-Net v2 plugin.",
        epilog=f"commands:\n{table}\n\n"
        "`pe-nnunet COMMAND --help` describes one. Research software, not a medical device.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pe-nnunet {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="see below")
    return parser


def _refuse_renamed(parser: _Parser, command: str, arguments: Sequence[str]) -> None:
    for argument in arguments:
        now = RENAMED.get((command, argument.partition("=")[0]))
        if now is not None:
            parser.error(f"{argument.partition('=')[0]} is now called {now}")


def _run_command(name: str, arguments: Sequence[str], prog: str) -> int:
    module = import_module(f"pe_nnunet.cli.{name.replace('-', '_')}")
    parser = _Parser(prog=prog, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    try:
        _refuse_renamed(parser, name, arguments)
        with nullcontext() if name == "run" else shown_output():  # nnU-Net's own commands print as they do without us
            return int(module.run(parser.parse_args(arguments)))
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
