"""List the predicted scans that are worth correcting first, and why.

pe-nnunet next -d 501 -i OUT
pe-nnunet next -d 501 -i OUT -n 8 --csv next.csv --json next.json

OUT is what predict-fused wrote of scans without labels; those that the dataset has already, by name or by content, are
left out. First come scans with most findings in doubt: near the threshold or, with predict-fused --save-agreement and
several networks, such that the networks disagree on. Edit the emboli of the first, and `pe-nnunet correct` takes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet next`."""
    add = parser.add_argument
    add("-d", dest="dataset", required=True, help="dataset id or name under nnUNet_raw")
    add("-i", dest="results", type=Path, required=True, metavar="OUT", help="what predict-fused wrote")
    add("-n", dest="number", type=_at_least_one, default=10, metavar="N", help="of scans to list; default %(default)s")
    add("--csv", type=Path, metavar="FILE", help="write all scans as a table")
    add("--json", type=Path, metavar="FILE", help="write all scans as JSON")


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return number


def run(args: argparse.Namespace) -> int:
    """List them; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.correction.next_scans import next_scans
    from pe_nnunet.dataset.folders import RAW, dataset_folder, nnunet_folder
    from pe_nnunet.files import atomic_csv, atomic_json

    scans, failed = next_scans(dataset_folder(nnunet_folder(RAW), args.dataset), args.results)
    if not scans:
        return NOTHING_DONE
    rows = [scan.to_json() for scan in scans]
    if args.csv is not None:
        atomic_csv(args.csv, list(rows[0]), rows)
    if args.json is not None:
        atomic_json(args.json, rows)
    shown = scans[: args.number]
    for scan in shown:
        print(f"{scan.case}: {scan.score:.2f}: {scan.reason}")
    print(f"{len(shown)} of {len(scans)} scans without labels; the number is the sum of doubts", flush=True)
    return SOME_FAILED if failed else DONE
