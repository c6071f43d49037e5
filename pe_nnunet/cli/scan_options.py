"""Options that several commands share: which series is read, what may be repaired, how long a case may take."""

from __future__ import annotations

import argparse
from typing import Any

from pe_nnunet.cases.outcome import CaseLimits
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.options import add_options, chosen

REPAIRS = ("assume_hu", "resample_gaps", "fix_tilt")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add which series is meant where a folder holds several, and what a scan is refused for unless it is asked for."""
    group = parser.add_argument_group("reading")
    group.add_argument("--series-uid", metavar="UID", help="only this DICOM series")
    add_options(group, ConvertOptions, "pick", *REPAIRS)


def add_limits(parser: argparse._ActionsContainer) -> None:
    """Add how long a case may take; `limits` takes it from the arguments."""
    add_options(parser, CaseLimits)


def limits(args: argparse.Namespace) -> CaseLimits:
    """What a case may take, where it is read or done beside this process."""
    return CaseLimits(**chosen(args, CaseLimits))


def repairs(args: argparse.Namespace) -> dict[str, Any]:
    """What may be repaired, as `read_scan` takes it."""
    return {name: getattr(args, name) for name in REPAIRS}
