"""Options that several commands share: which series is read and how, what cases are called, how long one may take."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pe_nnunet.cases.outcome import CaseLimits
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.files.objects import is_address
from pe_nnunet.options import add_options, chosen

if TYPE_CHECKING:
    from pe_nnunet.volumes import ScanRef

CHOICE = ("pick", "join_series", "only")
REPAIRS = ("assume_hu", "resample_gaps", "fix_tilt")


def place(text: str) -> Path | str:
    """A path, or an address in object storage."""
    return text if is_address(text) else Path(text)


def add_input(parser: argparse.ArgumentParser, *, stored: bool = False) -> None:
    """Add which scans; `scans_of` finds them.

    Args:
        parser: Of a command.
        stored: Whether they may lie in object storage.
    """
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "-i",
        dest="input",
        type=place if stored else Path,
        metavar="INPUT",
        help="scan, or folder of scans" + (", or the address of either: s3://BUCKET/PREFIX" if stored else ""),
    )
    given.add_argument(
        "--studies",
        type=Path,
        metavar="FILE",
        help="list of scans, .csv or .parquet: a column `path` of files and folders, and `case`, what they are called",
    )


def scans_of(args: argparse.Namespace, *, stored: bool = False) -> list[ScanRef]:
    """The scans of a command with `add_input` and `add_reading`, by the names of their results.

    Args:
        args: Of the command.
        stored: As in `add_input`.

    Raises:
        PEError: As `find_scans` and `listed_scans`.
    """
    from pe_nnunet.volumes import find_scans
    from pe_nnunet.volumes.case_names import named_cases, names_hidden
    from pe_nnunet.volumes.stored import stored_scans
    from pe_nnunet.volumes.study_list import listed_scans

    if isinstance(args.input, str):
        refs, root = stored_scans(args.input, choice(args))
    elif args.studies is None:
        with names_hidden(args.input, hide=args.hash_names):
            refs, root = find_scans(args.input, **choice(args)), args.input
    else:
        with names_hidden(args.studies, hide=args.hash_names):
            refs, root = listed_scans(args.studies, choice(args), stored=stored)
    return named_cases(refs, root, hash_names=args.hash_names)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add which series is meant where a folder holds several, and what a scan is refused for unless it is asked for."""
    group = parser.add_argument_group("reading")
    group.add_argument("--series-uid", metavar="UID", help="only this DICOM series")
    add_options(group, ConvertOptions, *CHOICE, *REPAIRS, "hash_names")


def choice(args: argparse.Namespace) -> dict[str, Any]:
    """Which series is read, as `find_scans` takes it."""
    return {name: getattr(args, name) for name in ("series_uid", *CHOICE)}


def say_names(*, hash_names: bool, refused: int = 0) -> None:
    """Say on stderr how cases are called in results, and how many are refused for what they are called."""
    how = "hashes of their names (--hash-names)" if hash_names else "their folders and files"
    left_out = f"; {refused} would say a patient's name, and are refused (PE-CONV-034)" if refused else ""
    print(f"cases are named by {how}{left_out}", file=sys.stderr, flush=True)


def add_limits(parser: argparse._ActionsContainer) -> None:
    """Add how long a case may take; `limits` takes it from the arguments."""
    add_options(parser, CaseLimits)


def limits(args: argparse.Namespace) -> CaseLimits:
    """What a case may take, where it is read or done beside this process."""
    return CaseLimits(**chosen(args, CaseLimits))


def repairs(args: argparse.Namespace) -> dict[str, Any]:
    """What may be repaired, as `read_scan` takes it."""
    return {name: getattr(args, name) for name in REPAIRS}
