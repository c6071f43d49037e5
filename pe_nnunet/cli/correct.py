"""Take labels that you edited in 3D Slicer, OHIF or ITK-SNAP into a dataset, and say what changed, embolus by embolus.

pe-nnunet correct -d 501 case_1_seg.dcm case_2.seg.nrrd -i STUDIES --predictions OUT
pe-nnunet correct -d 501 labels
pe-nnunet correct -d 501 Segmentation.seg.nrrd --case case_4 --dry-run

EDITED is a DICOM SEG or RTSTRUCT, a NIfTI, NRRD or MHA file, or a .seg.nrrd, called by its case or, of DICOM, tied to
its series. It lies on the scan voxel by voxel, or on the dataset's image of it: nothing is resampled. A case of the
dataset gets a new label; one that is new, whose scan -i gives, is added. Labels before are kept in
pe_nnunet/corrections, with who and when. Without EDITED, a correction that was interrupted is ended.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.scan_options import add_reading, say_names, scans_of
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.options import add_options, chosen

if TYPE_CHECKING:
    from pe_nnunet.correction.correct import Correction


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet correct`."""
    add = parser.add_argument
    add("edited", type=Path, nargs="*", metavar="EDITED", help="edited labels, one a case, or a folder of them")
    add("-d", dest="dataset", required=True, help="dataset id or name under nnUNet_raw, which convert made")
    add("-i", dest="input", type=Path, metavar="STUDY", help="scan, or folder of scans: for new cases and DICOM labels")
    add("--predictions", type=Path, metavar="OUT", help="what predict-fused wrote: its emboli keep their ids")
    add("--case", metavar="ID", help="the case of the only EDITED, where its name does not say it")
    add("--by", metavar="NAME", help="who corrected; default: the name of your account")
    add("--dry-run", action="store_true", help="say what would change, and write nothing")
    add("--csv", type=Path, metavar="FILE", help="write the changes as a table")
    add("--json", type=Path, metavar="FILE", help="write the changes as JSON")
    add_options(parser.add_argument_group("labels"), ConvertOptions, "segments", "label_kind")
    add_options(
        parser.add_argument_group("cases that are new to the dataset"),
        ConvertOptions, "artery", "on_no_lungs", "lung_finder", "lungmask_weights",
    )  # fmt: skip
    add_reading(parser)
    parser.set_defaults(studies=None)


def run(args: argparse.Namespace) -> int:
    """Correct; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.correction.correct import CorrectedDataset
    from pe_nnunet.correction.correct_all import correct_all
    from pe_nnunet.correction.predicted import predicted_cases
    from pe_nnunet.dataset.folders import RAW, dataset_folder, nnunet_folder
    from pe_nnunet.files import atomic_json

    folder = dataset_folder(nnunet_folder(RAW), args.dataset)
    scans = {} if args.input is None else {ref.case_id: ref for ref in scans_of(args)}
    if args.case is not None and len(scans) == 1:
        scans = {args.case: next(iter(scans.values()))}
    predicted = {} if args.predictions is None else predicted_cases(args.predictions)
    options = ConvertOptions(**chosen(args, ConvertOptions))
    dataset = CorrectedDataset(folder, scans, predicted, options, args.by or _account())
    if scans:
        say_names(hash_names=args.hash_names, refused=sum(ref.refused for ref in scans.values()))
    with dataset.held():
        for note in [] if args.dry_run else dataset.finish():
            print(note)
        done, failed = correct_all(dataset, args.edited, args.case, dry_run=args.dry_run)
    for correction in done:
        _print(correction)
    if args.csv is not None:
        _write_table(args.csv, done)
    if args.json is not None:
        atomic_json(args.json, [correction.to_json() for correction in done])
    for note in dataset.stale() if done and not args.dry_run else ():
        print(note)
    for name, error in failed:
        print(f"{name}: {error}", file=sys.stderr)
    would = "would be taken" if args.dry_run else "taken"
    print(f"{len(done)} labels {would} into {folder}, {len(failed)} failed", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if done else NOTHING_DONE


def _account() -> str:
    """The name of the account; a container may have none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _print(correction: Correction) -> None:
    print(f"{correction.case}: {correction.summary}{', new to the dataset' if correction.new else ''}")
    for note in correction.notes:
        print(f"  {note}")
    if correction.changes:
        print(f"  {'embolus':>7}  {'change':<9}  {'mm3 before':>10}  {'mm3 after':>10}  {'Dice':>4}")
    for one in correction.changes:
        what = {"added": "split from", "removed": "joined to"}.get(one.change, "")
        other = "" if one.other is None else f"  {what} {one.other}"
        print(
            f"  {one.id:>7}  {one.change:<9}  {one.before_mm3:>10.1f}  {one.after_mm3:>10.1f}  {one.dice:>4.2f}{other}"
        )


def _write_table(path: Path, done: list[Correction]) -> None:
    from pe_nnunet.files import atomic_csv

    columns = ("case", "embolus", "change", "mm3_before", "mm3_after", "dice", "other", "compared_with", "edited")
    rows = [
        (c.case, one.id, one.change, one.before_mm3, one.after_mm3, one.dice, one.other, c.compared_with, c.edited)
        for c in done
        for one in c.changes
    ]
    atomic_csv(path, columns, rows)
