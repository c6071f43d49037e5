"""Volumes to slices and back, with their masks: nothing is resampled, and a round trip gives the same HU and grid.

  pe-nnunet slices dicom SCAN.nii.gz OUT --labels MASK.nii.gz     a CT series, and its mask as DICOM SEG
  pe-nnunet slices dicom SERIES/ OUT --labels MASK.nii.gz         the SEG alone, for the series as it is
  pe-nnunet slices png SERIES/ OUT --labels MASK.nii.gz           16-bit PNGs called by SOPInstanceUID, and masks
  pe-nnunet slices nifti SERIES/ OUT --labels MASKS/              NIfTI; masks may be such PNGs, SEG or RTSTRUCT
  pe-nnunet slices nifti PNGS/ OUT                                back from PNG slices

SRC is a scan, a folder of scans, or a pattern in which {case} stands for a case. Each gets a folder OUT/<case> with
`ct` and `emboli`. Exit code 0 done, 2 nothing could be done, 3 some cases failed.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.scan_options import add_limits, add_reading, choice, limits, repairs, say_names

if TYPE_CHECKING:
    from pe_nnunet.errors import Note
    from pe_nnunet.slices import LabelLookup
    from pe_nnunet.volumes import ScanRef


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet slices`."""
    add = parser.add_argument
    add("to", choices=("dicom", "png", "nifti"), metavar="TO", help="dicom, png or nifti")
    add("src", type=Path, metavar="SRC", help="scan, folder of scans or of PNG slices, or a pattern with {case}")
    add("out", type=Path, metavar="OUT", help="folder to write to")
    add("--labels", metavar="WHERE", help="masks: one for one scan, a folder with <case>.*, or a pattern with {case}")
    add("--segments", metavar="NAMES", help="which segments of a SEG, RTSTRUCT or .seg.nrrd to take, such as 'embol*'")
    add(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="png: 8 bits from LOW to HIGH HU; not to be brought back",
    )
    add("--round", action="store_true", help="dicom, png: round HU that are not whole")
    add("--algorithm", metavar="NAME", help="dicom: the program that made the masks; without it, people")
    add_reading(parser)
    add_limits(parser.add_argument_group("course"))


def run(args: argparse.Namespace) -> int:
    """Convert each scan, with one line on stderr for each that fails."""
    from pe_nnunet.cases import work_through
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.dataset_conversion.patterns import fixed_part
    from pe_nnunet.slices import LabelLookup, find_sources
    from pe_nnunet.volumes.case_names import named_cases, names_hidden

    _require_sense(args)
    root = fixed_part(args.src)
    with names_hidden(root, hide=args.hash_names):
        sources = find_sources(args.src, **choice(args))
    sources = named_cases(sources, root, hash_names=args.hash_names)
    labels = LabelLookup(args.labels, sources, args.src) if args.labels is not None else None
    say_names(hash_names=args.hash_names, refused=sum(source.refused for source in sources))
    written, failed = work_through(
        partial(_convert, labels=labels, args=args),
        {source.case_id: source for source in sources},
        limits=limits(args),
        say=_say,
        ends=(Exception,) if args.debug else (),
        bar="converting",
        hidden={source.case_id: source.hidden for source in sources},
    )
    print(f"{len(written)} of {len(sources)} scans written to {args.out}")
    return DONE if not failed else SOME_FAILED if written else NOTHING_DONE


def _say(case: str, notes: list[Note], _left: str) -> None:
    from tqdm import tqdm

    for note in notes:
        tqdm.write(f"{case}: {note}", file=sys.stderr)


def _convert(source: ScanRef, labels: LabelLookup | None, args: argparse.Namespace) -> list[Note]:
    """Convert one scan, in a process of its own; what is to be said of it."""
    from pe_nnunet.slices import export, read_label_of, read_source
    from pe_nnunet.volumes import empty_note

    case = source.case_id
    scan, label = read_source(source, **repairs(args))
    notes = list(scan.notes)
    name = f"the label of {case}"
    if labels is not None:
        path = labels.find(source.mask_id)
        label, found = read_label_of(scan, path, segments=args.segments)
        name, notes = name if source.hidden else path.name, [*notes, *found]
    if label is not None:
        notes += empty_note(label, name)
    window = None if args.window is None else (args.window[0], args.window[1])
    export(scan, label, args.out / case, args.to, window_hu=window, round_hu=args.round, algorithm=args.algorithm)
    return notes


def _require_sense(args: argparse.Namespace) -> None:
    """Refuse options that the target has no use for, or a window that is none."""
    from pe_nnunet.errors import ConfigurationError

    for option, value, targets in (
        ("--window", args.window is not None, {"png"}),
        ("--round", args.round, {"dicom", "png"}),
        ("--algorithm", args.algorithm is not None, {"dicom"}),
        ("--segments", args.segments is not None and args.labels is None, set()),
    ):
        if value and args.to not in targets:
            wanted = f"it goes with {' or '.join(sorted(targets))}" if targets else "it goes with --labels"
            raise ConfigurationError("PE-SLC-007", f"{option} has no meaning here, for {args.to}", wanted)
    if args.window is not None and not args.window[0] < args.window[1]:
        low, high = args.window
        raise ConfigurationError("PE-SLC-007", f"--window {low:g} {high:g} is empty", "give LOW below HIGH")
