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

from pe_nnunet.cli.scan_options import add_lung_finder, add_pick, add_repairs, repairs
from pe_nnunet.dataset_conversion.registry import KINDS
from pe_nnunet.errors import ConfigurationError

if TYPE_CHECKING:
    from pe_nnunet.dataset_conversion import ConversionReport, ConvertOptions
    from pe_nnunet.dataset_conversion.labels import LabelMap


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet convert`."""
    kinds = "; ".join(f"{name}: {text}" for name, text in KINDS.items())
    parser.add_argument("kind", choices=list(KINDS), metavar="KIND", help=kinds)
    parser.add_argument("src", type=Path, metavar="SRC", help="folder of the source, or a pattern with {case}")
    parser.add_argument("-d", type=int, required=True, metavar="ID", dest="dataset_id", help="dataset id, 1 to 999")
    parser.add_argument("--name", default="PE", help="dataset name (default: %(default)s)")

    parser.add_argument(
        "--hash-names",
        action="store_true",
        help="case ids are hashes of the names of folders and files, which may be patients'",
    )

    masks = parser.add_argument_group("masks")
    masks.add_argument("--labels", metavar="WHERE", help="embolus masks: a folder, or a pattern with {case}")
    masks.add_argument(
        "--label-kind",
        choices=("auto", "binary", "instances"),
        default="auto",
        help="instances: a value is an embolus; binary: a connected component is (default: by the number of values)",
    )
    masks.add_argument(
        "--label-map",
        type=_label_map,
        metavar="OLD=NEW,...",
        help="values of the embolus masks that are emboli, and what they become; all others count as none",
    )
    masks.add_argument(
        "--segments", metavar="NAMES", help="segments of a DICOM SEG or RTSTRUCT that are emboli, such as 'embol*'"
    )
    masks.add_argument(
        "--negatives", type=Path, metavar="FILE", help="case ids without emboli, one a line: they need no label"
    )
    masks.add_argument(
        "--scheme",
        choices=("pe", "artery-pe", "artery"),
        default="pe",
        help="labels to train on (default: %(default)s)",
    )
    masks.add_argument(
        "--artery", metavar="WHERE", help="artery masks, like --labels, value 1 is artery; or `contrast` to derive them"
    )
    masks.add_argument(
        "--min-embolus-mm3",
        type=float,
        default=10.0,
        metavar="MM3",
        help="warn of smaller emboli (default: %(default)s)",
    )

    crop = parser.add_argument_group("crop and folds")
    crop.add_argument("--lung-margin-mm", type=float, default=10.0, metavar="MM", help="default: %(default)s")
    crop.add_argument(
        "--on-no-lungs",
        choices=("error", "full-volume"),
        default="error",
        help="for a scan without lungs (default: %(default)s)",
    )
    add_lung_finder(crop)
    crop.add_argument(
        "--test",
        metavar="FILE",
        help="test set, kept out of all folds: a file of case ids, one a line, or `published` for CAD-PE's",
    )
    crop.add_argument("--folds", type=int, default=5, help="cross-validation folds, by patient (default: %(default)s)")
    crop.add_argument("--seed", type=int, default=12345, help="of the folds (default: %(default)s)")

    reading = parser.add_argument_group("reading")
    add_pick(reading)
    reading.add_argument(
        "--series-uid", nargs="+", default=(), metavar="UID", help="take these series where folders hold several"
    )
    add_repairs(reading)

    course = parser.add_argument_group("course")
    course.add_argument("--on-error", choices=("continue", "stop"), default="continue", help="default: %(default)s")
    course.add_argument(
        "--resume", action="store_true", help="keep cases that are done, if source and settings are the same"
    )
    course.add_argument("--overwrite", action="store_true", help="replace the dataset, once the new one is complete")
    course.add_argument("--dry-run", action="store_true", help="list the cases and their files, and write nothing")
    course.add_argument("--num-parts", type=int, default=1, metavar="N", help="for job arrays: N jobs share the cases")
    course.add_argument("--part-id", type=int, metavar="K", help="which of them this is, 0 to N-1; then --resume once")
    course.add_argument("--num-processes", type=int, metavar="N", help="default: by processors and memory")


def run(args: argparse.Namespace) -> int:
    """Convert, with a progress bar on a terminal and one line for each case that fails."""
    from tqdm import tqdm

    from pe_nnunet.cases import CaseFailure
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.dataset_conversion import ConvertOptions, convert
    from pe_nnunet.dataset_conversion.convert_dataset import Outcome

    options = ConvertOptions(
        labels=args.labels,
        label_kind=args.label_kind,
        label_map=args.label_map,
        segments=args.segments,
        hash_names=args.hash_names,
        negatives=_case_list(args.negatives),
        scheme=args.scheme,
        artery=args.artery,
        lung_margin_mm=args.lung_margin_mm,
        min_embolus_mm3=args.min_embolus_mm3,
        test=frozenset() if args.test == "published" else _case_list(None if args.test is None else Path(args.test)),
        published_test=args.test == "published",
        folds=args.folds,
        seed=args.seed,
        on_error=args.on_error,
        on_no_lungs=args.on_no_lungs,
        roi=args.roi,
        lungmask_weights=args.lungmask_weights,
        **repairs(args),
        series_uids=tuple(args.series_uid),
        pick=args.pick,
        resume=args.resume,
        overwrite=args.overwrite,
        num_parts=args.num_parts,
        part_id=args.part_id,
        num_processes=args.num_processes,
    )
    if args.dry_run:
        return _list(args.kind, args.src, options)
    with tqdm(desc="converting", unit="case", disable=None) as bar:

        def show(outcome: Outcome, done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if isinstance(outcome, CaseFailure):
                tqdm.write(str(outcome), file=sys.stderr)

        report = convert(args.kind, args.src, args.dataset_id, args.name, options, progress=show)
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
        label = case.label.name if case.label else "-"
        artery = case.artery.name if case.artery else "-"
        subset = "test" if case.test else "train"
        print(case.case_id, subset, len(case.image.files), case.name, label, artery, sep="\t")
    for error in listing.errors:
        print(error, file=sys.stderr)
    if not listing.cases:
        return NOTHING_DONE
    return SOME_FAILED if listing.errors else DONE


def _label_map(text: str) -> LabelMap:
    from pe_nnunet.dataset_conversion.labels import parse_label_map

    try:
        return parse_label_map(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
