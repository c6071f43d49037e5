"""Variants to a trained model: our conversion, nnU-Net's planning, our trainer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from starter.vary import HELD_OUT, VARIED

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

DATASET_ID, NAME = 910, "Starter"
PLANNER, PLANS, TRAINER, CONFIGURATION = "PETARUNetPlanner", "PETARUNetPlans", "PETARUNetTrainer", "3d_fullres"
FOLD = "all"  # the anatomies that choose the threshold are in no dataset at all
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def use_folders(work: Path) -> None:
    """Let nnU-Net work below a folder; before nnU-Net is imported, in this process and those that it starts."""
    for name in FOLDERS:
        folder = work.resolve() / "nnUNet" / name
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder)


def model_folder(work: Path) -> Path:
    """The folder of the trained model: the only one in `nnUNet_results`.

    Raises:
        ConfigurationError: PE-MODEL-001 if there is none, or there are several.
    """
    from pe_nnunet.inference.named_models import find_model

    return find_model(str(work.resolve() / "nnUNet" / "nnUNet_results" / f"Dataset{DATASET_ID}_{NAME}"))


def convert(work: Path, scheme: str = "artery-pe", processes: int = 1) -> Path:
    """Convert the variants of the training anatomies, cropped to the lungs.

    Anatomies stay together in the folds, although the model is trained on all of them: somebody may look at one.

    Args:
        work: Holds `varied`.
        scheme: Of labels: `artery-pe` teaches the arteries as well, `pe` emboli alone.
        processes: Workers.

    Returns:
        The dataset's folder.

    Raises:
        PEError: If a variant cannot be converted.
    """
    from pe_nnunet.dataset.folders import SPLITS
    from pe_nnunet.dataset_conversion import ConvertOptions
    from pe_nnunet.dataset_conversion import convert as convert_source
    from pe_nnunet.dataset_conversion.splits import splits_of
    from pe_nnunet.evaluation import read_patients
    from pe_nnunet.files import atomic_json

    source = work / VARIED
    options = ConvertOptions(
        labels=str(source / "emboli"),
        label_kind="instances",
        artery=str(source / "artery"),
        scheme=scheme,  # type: ignore[arg-type] # its check says what is none
        on_error="stop",
        resume=True,
        num_processes=processes,
    )
    report = convert_source("nifti", source / "ct", DATASET_ID, NAME, options)
    folder = report.dataset_folder
    if folder is None:
        raise SystemExit("no variant could be converted")
    anatomy = read_patients(source / "patients.csv")
    (folder / SPLITS).unlink(missing_ok=True)
    if splits := splits_of(report.cases, anatomy, options):
        atomic_json(folder / SPLITS, splits)
    emboli = sum(record.embolus_count for record in report.cases.values())
    print(f"{folder}: {len(report.cases)} scans of {len(set(anatomy.values()))} anatomies, {emboli} emboli", flush=True)
    return folder


def plan(memory_gib: float, spacing_mm: float | None = None, processes: int = 1) -> None:
    """Plan and preprocess by nnU-Net's own command; network, patch and batch may come from `PE_NNUNET_PLAN`.

    Args:
        memory_gib: The planner's memory target, which decides how wide the network is.
        spacing_mm: Of the voxels that the network sees, along all axes; None for the planner's choice.
        processes: Workers.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    from pe_nnunet.dataset.folders import PREPROCESSED, SPLITS

    count, before = str(processes), Path(os.environ[PREPROCESSED]) / f"Dataset{DATASET_ID}_{NAME}" / SPLITS
    spacing: tuple[str, ...] = ()
    if spacing_mm is not None:  # nnU-Net then asks for a name of the plans
        spacing = ("-overwrite_target_spacing", *[f"{spacing_mm:g}"] * 3, "-overwrite_plans_name", PLANS)
    before.unlink(missing_ok=True)  # nnU-Net stops where it differs from the dataset's
    _run(
        *("nnUNetv2_plan_and_preprocess", "-d", str(DATASET_ID), "-pl", PLANNER, "-c", CONFIGURATION),
        *("-gpu_memory_target", f"{memory_gib:g}", "-np", count, "-npfp", count, "--clean"),
        "--verify_dataset_integrity",
        *spacing,
    )


def train(device: str, *, first: str | None = None, go_on: bool = False) -> Path:
    """Train on all variants; the recipe comes from `PE_NNUNET_RECIPE`.

    nnU-Net's validation at the end is left out: it would predict what the model was trained on.

    Args:
        device: `cuda`, `mps`, `cpu`, or `auto`.
        first: Name or folder of a model to start from, whose layers are as wide as those of the plans, or narrower.
        go_on: Go on from the checkpoint of a training that was stopped, as nnU-Net's `--c`.

    Returns:
        The model's folder.

    Raises:
        ValueError: If the first model has other layers.
    """
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    from pe_nnunet.inference.device import pick_device
    from pe_nnunet.registration import register

    register()
    where = pick_device(device)
    torch.backends.cudnn.benchmark = where.type == "cuda"
    trainer = get_trainer_from_args(str(DATASET_ID), CONFIGURATION, FOLD, TRAINER, PLANS, device=where)
    if go_on:
        maybe_load_checkpoint(trainer, True, False)
    elif first is not None:
        _begin_from(trainer, first)
    trainer.run_training()
    return Path(trainer.output_folder).parent


def held_out(work: Path) -> tuple[Path, Path, Path]:
    """Scans, labels and anatomies that the model was not trained on."""
    folder = work / HELD_OUT
    return folder / "ct", folder / "emboli", folder / "patients.csv"


def _begin_from(trainer: PETrainer, first: str) -> None:
    from pe_nnunet.fine_tuning.first_model import read_first_model
    from pe_nnunet.inference.locate import FINAL
    from pe_nnunet.inference.named_models import find_model
    from starter.grow import grown_weights

    model = read_first_model(find_model(first), FINAL)
    fold = model.fold_for(FOLD)
    trainer.initialize()
    weights = grown_weights(model.weights(fold), trainer.bare_network().state_dict())
    trainer.first_weights.load(trainer, weights, model.record(fold, keep_heads=True), keep_heads=True)
    trainer.split_record.start_from(model.split(fold))


def _run(*command: str) -> None:
    program = Path(sys.executable).parent / command[0]  # of this environment, whatever PATH says
    subprocess.run([str(program), *command[1:]], check=True)
