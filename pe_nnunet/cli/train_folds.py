"""Train several folds of several models, one after another, or on all GPUs of a machine or a cluster.

pe-nnunet train-folds -d 501 -f 0 1 2 3 4
pe-nnunet train-folds -d 501 -f 0 1 2 3 4 --engine ray
pe-nnunet train-folds -d 501 -tr PETARUNetTrainer PEAANetTrainer -p PETARUNetPlans PEAANetPlans --preprocess

Each is nnU-Net's own training in a process of its own, after nnUNetv2_plan_and_preprocess. What is trained and
validated is left out, and what was stopped goes on from its last checkpoint: give the same command again. What it says
stands in the fold's folder, in training_log_process.txt.
"""

from __future__ import annotations

import argparse
import sys

from pe_nnunet.cli.engine_options import add_engine, engine

START = (
    "import sys; from pe_nnunet.processes import end_with_stdin; end_with_stdin(); "
    "from pe_nnunet.cli import main; sys.exit(main(['run', *sys.argv[1:]]))"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet train-folds`."""
    add = parser.add_argument
    add("-d", dest="dataset", required=True, help="dataset id or name under nnUNet_raw")
    folds = list("01234")
    add("-f", dest="folds", nargs="+", default=folds, metavar="FOLD", help="fold(s) to train; default %(default)s")
    which = parser.add_argument_group("models", "one value for all, or one a model")
    for flag, name, default in (
        ("-tr", "trainers", "PETARUNetTrainer"),
        ("-p", "plans", "PETARUNetPlans"),
        ("-c", "configurations", "3d_fullres"),
    ):
        which.add_argument(flag, dest=name, nargs="+", default=[default], metavar=name[:-1].upper())
    training = parser.add_argument_group("training")
    devices = ("cuda", "cpu", "mps")
    training.add_argument("-device", dest="device", choices=devices, default="cuda", help="default %(default)s")
    training.add_argument("--npz", action="store_true", help="write the probabilities of the validation, for find-best")
    training.add_argument(
        "--preprocess", action="store_true", help="first preprocess the cases that are not, on the same workers"
    )
    add_engine(parser)


def run(args: argparse.Namespace) -> int:
    """Train; see `configure` for the arguments."""
    from pe_nnunet.cases import work_through
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.dataset.folders import PREPROCESSED, RAW, RESULTS, dataset_folder, nnunet_folder
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.trainers.fold_jobs import FoldJob, fold_jobs, train
    from pe_nnunet.trainers.preprocess_jobs import preprocess, preprocess_jobs

    given = (args.trainers, args.plans, args.configurations)
    number = max(map(len, given))
    if any(len(values) not in (1, number) for values in given):
        raise ConfigurationError("PE-MODEL-001", "-tr, -p and -c have one value, or one a model, each")
    trainers, plans, configurations = (values * number if len(values) == 1 else values for values in given)
    dataset = dataset_folder(nnunet_folder(RAW), args.dataset).name
    results = nnunet_folder(RESULTS)
    more = ["-device", args.device, *(["--npz"] if args.npz else [])]
    models = list(zip(trainers, plans, configurations, strict=True))
    jobs = fold_jobs(results / dataset, [sys.executable, "-c", START], dataset, models, args.folds, more)
    if args.preprocess:
        cases = preprocess_jobs(
            nnunet_folder(RAW) / dataset, nnunet_folder(PREPROCESSED) / dataset, [model[1:] for model in models]
        )
        missing = {name: case for name, case in cases.items() if not case.done()}
        with engine(args, nnunet_folder(PREPROCESSED)) as workers:
            made, failed = work_through(preprocess, missing, None, engine=workers, bar="preprocess")
        print(f"{len(cases) - len(failed)} of {len(cases)} cases are preprocessed, {len(made)} of them now", flush=True)
        if failed:
            return SOME_FAILED if len(failed) < len(cases) else NOTHING_DONE
    for name in (name for name, job in jobs.items() if job.done()):
        print(f"{name}: trained already", flush=True)

    def say(name: str, _job: FoldJob, left: str) -> None:
        print(f"{name}: trained{left}", flush=True)

    left = {name: job for name, job in jobs.items() if not job.done()}
    with engine(args, results, networks=args.device != "cpu") as workers:
        trained, failed = work_through(train, left, engine=workers, say=say, bar="" if workers is None else "train")
    print(f"{len(jobs) - len(failed)} of {len(jobs)} trainings are done", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if trained or len(left) < len(jobs) else NOTHING_DONE
