"""Start an nnU-Net command with our planners and trainers registered.

    pe-nnunet run nnUNetv2_train 501 3d_fullres 0 -tr PETARUNetTrainer -p PETARUNetPlans

For environments where the automatic registration is switched off. Every argument after the command goes to nnU-Net.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import entry_points

from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.errors.near import did_you_mean


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet run`."""
    parser.add_argument("nnunet_command", metavar="nnUNetv2_COMMAND", help="for example nnUNetv2_train")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what nnU-Net's command takes")


def run(args: argparse.Namespace) -> int:
    """Register, then call the stock command in this process.

    Raises:
        ConfigurationError: PE-ENV-005 if nnU-Net has no such command, PE-ENV-007 if its look-up cannot be extended.
    """
    from pe_nnunet.registration import register
    from pe_nnunet.registration.hook import problem

    stock = {e.name: e for e in entry_points(group="console_scripts") if e.name.startswith("nnUNetv2_")}
    if args.nnunet_command not in stock:
        hint = did_you_mean(args.nnunet_command, list(stock), f"installed: {', '.join(sorted(stock))}")
        raise ConfigurationError("PE-ENV-005", f"no nnU-Net command {args.nnunet_command!r}", hint)
    _prepare_workers()
    if not register():
        raise ConfigurationError("PE-ENV-007", f"nnU-Net's class look-up cannot be extended: {problem()}")
    sys.argv = [args.nnunet_command, *args.arguments]
    try:
        result = stock[args.nnunet_command].load()()
    except PEError:
        raise
    except Exception as error:  # noqa: BLE001 - nnU-Net's own failures look as they do without us, traceback and all
        sys.excepthook(type(error), error, error.__traceback__)
        return 1  # what Python ends a script with in that case
    return result if isinstance(result, int) else 0


def _prepare_workers() -> None:
    """Let the processes that nnU-Net spawns find our trainers too: with several GPUs each looks its trainer up anew."""
    from pe_nnunet.registration.ext_trainer import FOLDER, VARIABLE
    from pe_nnunet.registration.hook import SWITCH, TORCH_SWITCH

    os.environ[SWITCH] = "1"
    if os.environ.get(TORCH_SWITCH, "1") != "1":  # they will not be registered: nnU-Net's own way, slower
        folders = os.environ.get(VARIABLE, "").split(os.pathsep)
        os.environ[VARIABLE] = os.pathsep.join([*filter(None, folders), str(FOLDER)])
