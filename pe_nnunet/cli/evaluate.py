"""Score predictions against labels: voxels, emboli, scans.

pe-nnunet evaluate -i PREDICTIONS -g LABELS -o SCORES

PREDICTIONS holds <case>.nii.gz (ids of emboli, or a mask) and, where there are scores, <case>_emboli.csv or <case>.csv
(id,x,y,z,prob in LPS mm) or <case>_probability.nii.gz; or such tables alone; or is one text file of lines
`Scan X Y Z Confidence`, as the CAD-PE challenge has them.
LABELS holds <case>.nii.gz or .nrrd (ids or a mask), or one folder a case with emboli.nii.gz in it. Where nnU-Net's
dataset.json lies beside labels or predictions, their values are read by it: PE is embolus, other classes are not, and
voxels of the ignore label count neither way.
Writes SCORES/summary.json, cases.csv, froc.csv, report.html and plots, and prints a table. docs/evaluation.md defines
every number.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pe_nnunet.cli.engine_options import add_engine, engine
from pe_nnunet.cli.model_options import add_dataset_json
from pe_nnunet.cli.scan_options import add_limits, limits
from pe_nnunet.options import add_options, chosen


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet evaluate`."""
    parser.add_argument(
        "-i",
        "--input",
        required=True,
        type=Path,
        metavar="PREDICTIONS",
        help="folder of predictions, or one CAD-PE text file",
    )
    parser.add_argument("-g", "--labels", required=True, type=Path, metavar="LABELS", help="folder of labels")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="SCORES", help="folder for the scores")
    from pe_nnunet.evaluation.settings import EvaluationSettings
    from pe_nnunet.metrics.bootstrap import Resampling

    meaning = parser.add_argument_group("what labels and scans are")
    add_dataset_json(meaning)
    meaning.add_argument(
        "--patients",
        type=Path,
        metavar="FILE",
        help="whose each scan is, so that the scans of a patient are resampled together: a CSV with the columns `case` "
        "and `patient`, or the cases.json of a converted dataset",
    )
    meaning.add_argument(
        "--groups",
        nargs=2,
        metavar=("CSV", "COLUMN"),
        help="numbers by subgroup too: a CSV with a column `case`, and the column that names the subgroups",
    )
    meaning.add_argument(
        "--lungs",
        type=Path,
        metavar="DIR",
        help="lung masks, <case>.nii.gz or <case>_lungmask.nii.gz: adds the clot on each side to cases.csv",
    )
    numbers = parser.add_argument_group("numbers")
    add_options(numbers, EvaluationSettings)
    add_options(numbers, Resampling)
    course = parser.add_argument_group("course")
    course.add_argument(
        "--markers",
        action="store_true",
        help="also write the markers as the CAD-PE challenge takes them (markers.txt) and as AANet has them (markers/)",
    )
    course.add_argument("--workers", type=int, metavar="N", help="worker processes (default: by cases and processors)")
    add_limits(course)
    add_engine(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, write, print; the exit code says whether all, some or none of the cases were scored."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.evaluation import (
        EvaluationSettings,
        evaluate_folder,
        read_groups,
        read_patients,
        table,
        write_evaluation,
    )
    from pe_nnunet.metrics.bootstrap import Resampling

    settings = EvaluationSettings(**chosen(args, EvaluationSettings), resampling=Resampling(**chosen(args, Resampling)))
    if args.workers is not None and args.workers < 1:
        raise ConfigurationError("PE-EVAL-003", f"--workers {args.workers}: expected 1 or more")
    groups = read_groups(Path(args.groups[0]), args.groups[1]) if args.groups else None
    with engine(args, args.output) as workers:
        evaluation = evaluate_folder(
            args.input,
            args.labels,
            settings,
            groups=groups,
            patients=read_patients(args.patients) if args.patients else None,
            lungs=args.lungs,
            dataset_json=args.dataset_json,
            workers=args.workers,
            progress=True,
            limits=limits(args),
            engine=workers,
        )
    if not evaluation.cases:
        for failure in evaluation.failures:
            print(failure, file=sys.stderr)
        return NOTHING_DONE
    write_evaluation(evaluation, args.output, markers=args.markers)
    print(table(evaluation))
    print(f"\nwritten: {args.output / 'summary.json'}, {args.output / 'report.html'}")
    return SOME_FAILED if evaluation.failures else DONE
