"""Start an nnU-Net command with our planners and trainers registered.

pe-nnunet run nnUNetv2_train 501 3d_fullres 0 -tr PETARUNetTrainer -p PETARUNetPlans

For environments where the automatic registration is switched off. Every argument after the command goes to nnU-Net.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import entry_points

from pe_nnunet.errors import ConfigurationError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet run`."""
    parser.add_argument("nnunet_command", metavar="nnUNetv2_COMMAND", help="for example nnUNetv2_train")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what nnU-Net's command takes")


def run(args: argparse.Namespace) -> int:
    """Register, then call the stock entry point in this process."""
    from pe_nnunet.registration import register

    stock = {e.name: e for e in entry_points(group="console_scripts") if e.name.startswith("nnUNetv2_")}
    if args.nnunet_command not in stock:
        raise ConfigurationError(
            "PE-ENV-005", f"no nnU-Net command {args.nnunet_command!r}", f"installed: {', '.join(sorted(stock))}"
        )
    os.environ["PE_NNUNET_REGISTER"] = "1"  # for this process and the workers that nnU-Net starts
    register()
    sys.argv = [args.nnunet_command, *args.arguments]
    return int(stock[args.nnunet_command].load()() or 0)
