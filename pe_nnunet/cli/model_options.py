"""Options by which several commands name trained models."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.inference.locate import FINAL

if TYPE_CHECKING:
    from pe_nnunet.inference.locate import ModelLocation

MODEL_HELP = (
    "name of a model that ships with the package (starter), a model folder, an archive of export-model, or the name or "
    "id of one under nnUNet_results"
)


def add_device(parser: argparse._ActionsContainer, *without: str) -> None:
    """Add where networks run, by nnU-Net's name for it."""
    devices = [name for name in ("auto", "cuda", "cpu", "mps") if name not in without]
    parser.add_argument(
        "-device", dest="device", choices=devices, default="auto", help="where networks run; auto: a GPU, else the CPU"
    )


def add_dataset_json(parser: argparse._ActionsContainer) -> None:
    """Add where the file lies that says what the labels' values mean."""
    parser.add_argument(
        "--dataset-json",
        type=Path,
        metavar="PATH",
        help="nnU-Net's dataset.json that says which of the labels' values are embolus and which are ignored; "
        "default: the one beside the labels, if any",
    )


def add_search(
    parser: argparse._ActionsContainer, thresholds: Sequence[float] = (), min_volumes_mm3: Sequence[float] = ()
) -> None:
    """Add what an operating point is chosen for, and among which values.

    Args:
        parser: Of the command.
        thresholds: What is tried by default; none where that is the command's own affair.
        min_volumes_mm3: Likewise.
    """
    parser.add_argument(
        "--target-fp", type=float, metavar="N", help="false positives a scan, at most; default: the highest F1 instead"
    )
    for flag, what, values in (
        ("--thresholds", "probabilities of a voxel", thresholds),
        ("--min-embolus-mm3", "smallest volumes of an embolus, mm3,", min_volumes_mm3),
    ):
        default = "; default " + " ".join(f"{value:g}" for value in values) if values else ""
        parser.add_argument(
            flag, type=float, nargs="+", metavar="N", default=list(values) or None, help=f"{what} to try{default}"
        )


def require_target(args: argparse.Namespace) -> None:
    """Refuse a number of false positives that is none; `add_search` has the option.

    Raises:
        ConfigurationError: PE-MODEL-007 if it is negative or NaN.
    """
    from pe_nnunet.errors import ConfigurationError

    if args.target_fp is not None and not args.target_fp >= 0:
        raise ConfigurationError("PE-MODEL-007", f"--target-fp is {args.target_fp}, expected 0 or more")


def add_trust(parser: argparse._ActionsContainer, *, checkpoints: bool = True) -> None:
    """Add what of a model from elsewhere is trusted; `trust` must be called on what they say.

    Args:
        parser: Of the command.
        checkpoints: Whether the command may load checkpoints that hold more than weights.
    """
    if checkpoints:
        parser.add_argument(
            "--trust-checkpoint", action="store_true", help="load checkpoints that hold more than weights"
        )
    parser.add_argument(
        "--trust-classes",
        nargs="+",
        metavar="NAME",
        default=[],
        help="classes or packages that plans may name, beside torch.nn and the known networks: they are imported and "
        "run",
    )


def trust(args: argparse.Namespace) -> None:
    """Trust the classes that were named, in this process and those that it starts."""
    from pe_nnunet.named_classes import TRUSTED

    os.environ[TRUSTED] = ",".join(filter(None, [os.environ.get(TRUSTED), *args.trust_classes]))


def add_models_of_dataset(parser: argparse._ActionsContainer, *, required: bool) -> None:
    """Add a dataset and which of its models: `-d -tr -p -c -f -chk`."""
    add = parser.add_argument
    add("-d", dest="dataset", required=required, help="dataset id or name under nnUNet_results")
    add(
        "-tr",
        dest="trainers",
        nargs="+",
        metavar="TRAINER",
        default=["PETARUNetTrainer"],
        help="trainer(s); default %(default)s",
    )
    add("-p", dest="plans", nargs="+", metavar="PLANS", default=["PETARUNetPlans"], help="plans; default %(default)s")
    add(
        "-c",
        dest="configurations",
        nargs="+",
        metavar="CONFIGURATION",
        default=["3d_fullres"],
        help="default %(default)s",
    )
    add("-f", dest="folds", nargs="+", metavar="FOLD", help="folds; default: all that are trained")
    add("-chk", dest="checkpoint", default=FINAL, help="default %(default)s")


def add_model_folders(group: argparse._ActionsContainer) -> None:
    """Add models, by dataset or by folder; `models_of` takes them from the arguments."""
    add_models_of_dataset(group, required=False)
    group.add_argument("-m", "--model", dest="model_names", nargs="+", metavar="MODEL", help=f"{MODEL_HELP}; not -d")


def add_models(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add models, by dataset or by folder, a detector and their calibration; returns the group, for further options."""
    group = parser.add_argument_group("models", "by dataset, or by name or folder with -m")
    add_model_folders(group)
    group.add_argument(
        "--detector", type=Path, metavar="FOLDER", help="folder of a detector: PEDetector__..., or a fold of it"
    )
    group.add_argument(
        "--accept-calibration",
        action="store_true",
        help="take a fusion.json that was chosen for other weights or folds of these models",
    )
    return group


def models_of(args: argparse.Namespace) -> list[ModelLocation]:
    """The models that the options of `add_model_folders` name.

    Raises:
        ConfigurationError: PE-MODEL-001 if they name none; otherwise as `locate_model` and `locate_models`.
    """
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.inference.locate import locate_models
    from pe_nnunet.inference.named_models import locate_model, name_notes

    if args.model_names:
        for note in name_notes(args.model_names):
            print(note, flush=True)
        return [locate_model(name, args.folds, args.checkpoint) for name in args.model_names]
    if args.dataset:
        return locate_models(args.dataset, args.trainers, args.plans, args.configurations, args.folds, args.checkpoint)
    raise ConfigurationError("PE-MODEL-001", "no model given", "name a dataset with -d, or models with -m")
