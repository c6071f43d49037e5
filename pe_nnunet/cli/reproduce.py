"""Score any set of models, published ones among them, on a public dataset, and write the table that a paper prints.

pe-nnunet reproduce aanet duke --cad-pe DIR -m MODEL_FOLDER -o SCORES
pe-nnunet reproduce aanet --cad-pe DIR --findings DIR -o SCORES

Named models are those that `pe-nnunet import-model` wrote; they are run as their authors run them, others by their
fusion.json or the defaults. Each is scored under both FROC protocols and by its voxels: SCORES/table.csv and table.md
hold all of them with intervals, SCORES/METHOD the findings and scores of each (SCORES itself where there is one).

DIR is the dataset as it is unpacked. CAD-PE: scans in images/ (or image/), labels in rs/ (or label/), 0021RefStd.nrrd
or 021RefStd.nrrd; its published test scans are scored unless --scans says otherwise. FUMPE and READ: as `pe-nnunet
convert` reads them; all scans. Findings that are there already, <scan>.csv (id,x,y,z,prob) and <scan>.nii.gz, as
AANet's repository holds them, are given with --findings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.model_options import MODEL_HELP, add_device
from pe_nnunet.inference.locate import FINAL
from pe_nnunet.options import add_options, chosen

if TYPE_CHECKING:
    from pe_nnunet.cli.reproduce_methods import Method
    from pe_nnunet.evaluation.folder import Evaluation
    from pe_nnunet.evaluation.public_sets import LabelledSet

DATASETS = ("cad-pe", "fumpe", "read")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet reproduce`."""
    from pe_nnunet.inference.settings import InferenceSettings
    from pe_nnunet.metrics.bootstrap import Resampling

    add = parser.add_argument
    add("published", nargs="*", metavar="NAME", help="published models: aanet, duke")
    where = parser.add_mutually_exclusive_group(required=True)
    for kind in DATASETS:
        where.add_argument(f"--{kind}", type=Path, metavar="DIR", help=f"the unpacked {kind.upper()} dataset")
    add("-o", "--output", type=Path, required=True, metavar="SCORES", help="folder for findings, scores and tables")
    add("--resume", action="store_true", help="leave out scans that are predicted, with the same models and settings")
    add = parser.add_argument_group("methods").add_argument
    add("-m", "--model", dest="model_names", nargs="+", default=[], metavar="MODEL", help=f"further ones: {MODEL_HELP}")
    add(
        "--findings",
        nargs="+",
        default=[],
        metavar="[NAME=]DIR",
        help="findings that are there already, of a method of that name; without NAME= of the published model",
    )
    add("--names", nargs="+", metavar="NAME", help="what the tables call the models of -m, in their order")
    add("-f", dest="folds", nargs="+", metavar="FOLD", help="folds of all models; default: all that are trained")
    add("-chk", dest="checkpoint", default=FINAL, help="default %(default)s")
    add("-d", dest="dataset", help="dataset of the published model, if it is not the usual one: 900 AANet, 256 Duke")
    how = parser.add_argument_group("prediction")
    add_device(how)
    add_options(how, InferenceSettings, unset=True)
    scores = parser.add_argument_group("scores")
    add = scores.add_argument
    add("--scans", nargs="+", default=[], metavar="ID", help="default: the published test set, or all")
    add_options(scores, Resampling)
    add("--workers", type=int, metavar="N", help="that score (default: by cases and processors)")


def run(args: argparse.Namespace) -> int:
    """Find or make the findings of each method, score, write, print; a method that fails stops no other."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.cli.reproduce_methods import LABELS, methods_of
    from pe_nnunet.errors import PEError
    from pe_nnunet.evaluation.paper_table import write_tables
    from pe_nnunet.evaluation.public_sets import TITLES, labelled_set

    kind = next(name for name in DATASETS if getattr(args, name.replace("-", "_")) is not None)
    methods = methods_of(args)
    truth = labelled_set(kind, getattr(args, kind.replace("-", "_")), args.output / LABELS, args.scans)
    for failure in truth.failures:
        print(failure, file=sys.stderr)
    evaluations: dict[str, Evaluation] = {}
    notes = []
    failed = len(truth.failures)
    for method in methods:
        folder = args.output if len(methods) == 1 else args.output / method.name
        try:
            evaluation, told = _evaluated(method, truth, folder, args)
        except PEError as error:
            print(f"{method.name}: {error}", file=sys.stderr)
            failed += 1
            continue
        failed += len(evaluation.failures)
        if evaluation.cases:
            evaluations[method.name] = evaluation
            notes += told
            if evaluation.failures:
                left_out = ", ".join(failure.case_id for failure in evaluation.failures)
                notes.append(f"{method.name}: not scored, and in none of its numbers: {left_out}")
    if not evaluations:
        return NOTHING_DONE
    paths = write_tables(evaluations, TITLES[kind], list(dict.fromkeys(notes)), args.output)
    print("\nwritten: " + ", ".join(map(str, paths)), flush=True)
    return SOME_FAILED if failed else DONE


def _evaluated(
    method: Method, truth: LabelledSet, folder: Path, args: argparse.Namespace
) -> tuple[Evaluation, list[str]]:
    """Scores of one method, written and printed, and what is to be said of it beside the table."""
    from pe_nnunet.errors import Note
    from pe_nnunet.evaluation import write_evaluation
    from pe_nnunet.evaluation.reproduce import other_than_published, reproduction_table, score_findings
    from pe_nnunet.metrics.bootstrap import Resampling

    findings, notes = method.findings_on(truth, folder, args)
    resampling = Resampling(**chosen(args, Resampling))
    evaluation = score_findings(findings, truth, workers=args.workers, resampling=resampling)
    for failure in evaluation.failures:
        print(f"{method.name}: {failure}" if folder != args.output else str(failure), file=sys.stderr)
    if evaluation.cases:
        write_evaluation(evaluation, folder)
        is_aanet = method.published is not None and method.published.title == "AANet"
        print(f"\n{method.name}\n{reproduction_table(evaluation, beside_aanet=is_aanet and truth.kind == 'cad-pe')}")
        if other := other_than_published(evaluation, truth):
            print(Note("PE-EVAL-020", "warning", other))
            notes = [*notes, other]
        print(f"written: {folder / 'summary.json'}, {folder / 'report.html'}", flush=True)
    return evaluation, notes
