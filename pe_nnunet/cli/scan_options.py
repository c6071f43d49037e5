"""Options that several commands share: which series is read, and what may be repaired when it is."""

from __future__ import annotations

import argparse
from typing import Any

from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.options import add_options

CHOICE = ("pick", "join_series", "only")
REPAIRS = ("assume_hu", "resample_gaps", "fix_tilt")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add which series is meant where a folder holds several, and what a scan is refused for unless it is asked for."""
    group = parser.add_argument_group("reading")
    group.add_argument("--series-uid", metavar="UID", help="only this DICOM series")
    add_options(group, ConvertOptions, *CHOICE, *REPAIRS)


def choice(args: argparse.Namespace) -> dict[str, Any]:
    """Which series is read, as `find_scans` takes it."""
    return {name: getattr(args, name) for name in ("series_uid", *CHOICE)}


def repairs(args: argparse.Namespace) -> dict[str, Any]:
    """What may be repaired, as `read_scan` takes it."""
    return {name: getattr(args, name) for name in REPAIRS}
