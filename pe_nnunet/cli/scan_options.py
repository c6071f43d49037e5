"""Options that several commands share: what may be repaired when a scan is read, and how its lungs are found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_series(parser: argparse._ActionsContainer) -> None:
    """Add which series is meant where a folder holds several."""
    parser.add_argument("--series-uid", metavar="UID", help="only this DICOM series")
    add_pick(parser)


def add_pick(parser: argparse._ActionsContainer) -> None:
    """Add how one of several series is chosen."""
    parser.add_argument("--pick", choices=("largest-ct",), help="take this series where a folder holds several")


def add_repairs(parser: argparse._ActionsContainer) -> None:
    """Add what a scan is refused for unless it is asked for."""
    add = parser.add_argument
    add("--assume-hu", action="store_true", help="the values are HU, whatever header and range say")
    add("--resample-gaps", action="store_true", help="interpolate one gap of up to 10 mm between DICOM slices")
    add("--fix-tilt", action="store_true", help="shift DICOM slices under a gantry tilt upright")


def repairs(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_repairs`, as `read_scan` takes them."""
    return {"assume_hu": args.assume_hu, "resample_gaps": args.resample_gaps, "fix_tilt": args.fix_tilt}


def add_lung_finder(parser: argparse._ActionsContainer) -> None:
    """Add how the lungs are found."""
    add = parser.add_argument
    add(
        "--roi",
        choices=("density", "lungmask"),
        default="density",
        help="how lungs are found: by density, or by lungmask, which sees dense lung too (default: %(default)s)",
    )
    add("--lungmask-weights", type=Path, metavar="FILE", help="weights of lungmask; nothing is downloaded")
