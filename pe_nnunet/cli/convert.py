"""Bring scans with embolus labels into an nnU-Net dataset, cropped to the lungs.

  pe-nnunet convert studies SCANS/ -d 501                                   one folder a case: ct/, emboli.nii.gz
  pe-nnunet convert dicom DICOM/ -d 502 --labels MASKS/                     MASKS/<case>.nii.gz
  pe-nnunet convert nifti 'D/{case}/ct.nrrd' -d 503 --labels 'D/{case}/clot.nrrd'
  pe-nnunet convert cad-pe CAD-PE/ -d 504 --test published                  a public dataset as it was unpacked

Writes $nnUNet_raw/Dataset<ID>_<NAME>/, and beside imagesTr a folder pe_nnunet/ with a record of every case.
Exit code 0 done, 2 no case could be converted, 3 some could not: they are listed in pe_nnunet/errors.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.engine_options import add_engine, engine
from pe_nnunet.cli.scan_options import CHOICE, REPAIRS, add_limits, limits, say_names
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.registry import KINDS
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.shown import HIDDEN
from pe_nnunet.options import add_options, chosen

if TYPE_CHECKING:
    from pe_nnunet.dataset_conversion import ConversionReport


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet convert`."""
    kinds = "\n".join(f"{name}: {text}" for name, text in KINDS.items())
    parser.add_argument("kind", choices=list(KINDS), metavar="KIND", help=kinds)
    parser.add_argument("src", type=Path, metavar="SRC", help="folder of the source, or a pattern with {case}")
    parser.add_argument("-d", type=int, required=True, metavar="ID", dest="dataset_id", help="dataset id, 1 to 999")
    parser.add_argument("--name", default="PE", help="dataset name (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="list the cases and their files, and write nothing")
    masks = parser.add_argument_group("masks")
    add_options(masks, ConvertOptions, "labels", "label_kind", "label_map", "segments")
    masks.add_argument(
        "--negatives", type=Path, metavar="FILE", help="case ids without emboli, one a line: they need no label"
    )
    add_options(masks, ConvertOptions, "scheme", "artery", "warn_below_mm3")
    crop = parser.add_argument_group("crop and folds")
    add_options(crop, ConvertOptions, "lung_margin_mm", "on_no_lungs", "lung_finder", "lungmask_weights")
    crop.add_argument(
        "--test",
        metavar="FILE",
        help="test set, kept out of all folds: a file of case ids, one a line, or `published` for CAD-PE's",
    )
    add_options(crop, ConvertOptions, "folds", "seed")
    reading = parser.add_argument_group("reading")
    add_options(reading, ConvertOptions, *CHOICE, "series_uids", *REPAIRS, "hash_names")
    course = parser.add_argument_group("course")
    add_options(course, ConvertOptions, "on_error", "resume", "overwrite", "num_parts", "part_id", "num_processes")
    add_limits(course)
    add_engine(parser)
    parser.set_defaults(num_processes=None)


def run(args: argparse.Namespace) -> int:
    """Convert, with a progress bar on a terminal and one line for each case that fails."""
    from tqdm import tqdm

    from pe_nnunet.cases import CaseFailure
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.dataset.folders import RAW, nnunet_folder
    from pe_nnunet.dataset_conversion import convert
    from pe_nnunet.dataset_conversion.convert_dataset import Outcome

    given = chosen(args, ConvertOptions) | {"num_processes": args.num_processes}
    given["negatives"] = _case_list(args.negatives)
    published = args.test == "published"
    given["test"] = _case_list(None if args.test is None or published else Path(args.test))
    options, may_take = ConvertOptions(**given, published_test=published), limits(args)
    if args.dry_run:
        return _list(args.kind, args.src, options)
    with tqdm(desc="converting", unit="case", disable=None) as bar:

        def show(outcome: Outcome, done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if isinstance(outcome, CaseFailure):
                tqdm.write(str(outcome), file=sys.stderr)

        say_names(hash_names=options.hash_names)
        with engine(args, nnunet_folder(RAW)) as workers:
            report = convert(
                args.kind,
                args.src,
                args.dataset_id,
                args.name,
                options,
                progress=show,
                limits=may_take,
                engine=workers,
            )
    if args.part_id is not None:
        return _print_part(report, args.part_id, args.num_parts)
    _print_summary(report, args.dataset_id)
    if report.dataset_folder is None:
        return NOTHING_DONE
    return SOME_FAILED if report.errors else DONE


def _print_part(report: ConversionReport, part_id: int, num_parts: int) -> int:
    """Say what a part came to, and what makes a dataset of all of them."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED

    done, failed = len(report.cases), len(report.errors)
    print(
        f"part {part_id} of {num_parts}: {done} cases done, {failed} failed; when all parts are, "
        "the same command with --resume and without --num-parts and --part-id makes the dataset"
    )
    if not failed:
        return DONE
    return SOME_FAILED if done else NOTHING_DONE


def _list(kind: str, src: Path, options: ConvertOptions) -> int:
    """Print what a conversion would take, a case a line, fields parted by tabs."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.dataset_conversion.listing import list_cases, part_of

    listing = part_of(list_cases(kind, src, options), options)
    print("case", "subset", "files", "scan", "label", "artery", sep="\t")
    for case in listing.cases:
        label, artery = (_mask_name(path, hide=options.hash_names) for path in (case.label, case.artery))
        subset = "test" if case.test else "train"
        print(case.case_id, subset, len(case.image.files), case.name, label, artery, sep="\t")
    for error in listing.errors:
        print(error, file=sys.stderr)
    say_names(hash_names=options.hash_names, refused=sum(error.code == "PE-CONV-034" for error in listing.errors))
    if not listing.cases:
        return NOTHING_DONE
    return SOME_FAILED if listing.errors else DONE


def _mask_name(path: Path | None, *, hide: bool) -> str:
    return "-" if path is None else HIDDEN if hide else path.name


def _case_list(path: Path | None) -> frozenset[str]:
    """Case ids of a text file, one a line; `#` begins a comment."""
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "PE-IN-002", f"{path} cannot be read: {error}", "name a text file of case ids"
        ) from error
    return frozenset(name for line in lines if (name := line.split("#")[0].strip()))


def _print_summary(report: ConversionReport, dataset_id: int) -> None:
    for note in report.notes:
        print(note, file=sys.stderr)
    if report.dataset_folder is None:
        print(f"none of {len(report.errors)} cases could be converted; nothing was written", file=sys.stderr)
        return
    cases = report.cases.values()
    empty = [record.case for record in cases if any(note.code == "PE-LBL-006" for note in record.notes)]
    if empty:
        names = ", ".join(empty[:8]) + (f" and {len(empty) - 8} more" if len(empty) > 8 else "")
        print(f"PE-LBL-006 warning: {len(empty)} labels hold no voxel, scans without emboli: {names}", file=sys.stderr)
    share = sum(1 / case.target_ratio_factor for case in cases) / len(cases)
    warned = sum(any(note.kind == "warning" for note in case.notes) for case in cases)
    print(
        f"{report.dataset_folder}: {len(cases)} cases"
        + (f" ({len(report.reused)} kept from before)" if report.reused else "")
        + f", {sum(not case.embolus_count for case in cases)} of them without emboli,"
        f" {sum(case.embolus_count for case in cases)} emboli; the crop keeps {share:.0%} of a scan;"
        f" {len(report.errors)} failed, {warned} with warnings: see pe_nnunet/report.csv"
    )
    print(f"next: nnUNetv2_plan_and_preprocess -d {dataset_id} -pl PETARUNetPlanner -c 3d_fullres")
