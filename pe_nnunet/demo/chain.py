"""The chain: a cohort, conversion, plans, training, prediction of held-out scans, scores, a picture."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pe_nnunet.demo.command import Step, StepRunner, TrainingWatcher, everything, matching
from pe_nnunet.demo.held_out import link_scans, split_studies
from pe_nnunet.demo.report import Report, make_report
from pe_nnunet.fusion.stored import NAME as FUSION_FILE
from pe_nnunet.fusion.stored import read_fusion

TRAIN_SEED, HELD_OUT_SEED = 1, 2
NAME = "Demo"
MODEL = "PETARUNetTrainer__PETARUNetPlans__3d_fullres"
SMALLEST_MM3 = (50, 100, 200, 300, 400, 500, 600, 800, 1000)
FALSE_POSITIVES_PER_SCAN = 3  # one below the goal: a network does worse on scans that nothing was chosen on


@dataclass(frozen=True)
class DemoSettings:
    """What the chain runs on.

    Attributes:
        out: Everything is written below.
        studies: Folder of the user's own scans, one folder a case (`ct`, `emboli.nii.gz`); None makes phantoms.
        held_out: Cases of `studies` that are predicted instead of trained on; the last fifth if empty.
        dataset_id: nnU-Net's.
        train_scans: Phantoms to train on.
        test_scans: Phantoms to predict.
        memory_gb: The planner's memory target; a small one gives a network that a CPU trains in minutes.
        recipe: Training recipe, `key=value` pairs.
        epochs: Epochs.
        min_embolus_mm3: Smaller findings are not kept; None chooses on the validation scans.
        device: Where the network runs: `cuda`, `mps` or `cpu`.
    """

    out: Path
    studies: Path | None = None
    held_out: tuple[str, ...] = ()
    dataset_id: int = 501
    train_scans: int = 60
    test_scans: int = 10
    memory_gb: float = 0.5
    epochs: int = 20
    recipe: dict[str, str] = field(
        default_factory=lambda: {
            "iterations": "80",
            "validation_iterations": "2",
            "learning_rate": "2e-3",
            "test_time_mirroring": "no",
        }
    )
    min_embolus_mm3: float | None = None
    device: str = "cpu"


def run_demo(settings: DemoSettings) -> Report:
    """Run the chain; what an earlier run has done with the same settings is not done again.

    Args:
        settings: What it runs on.

    Returns:
        Scores of the network and of the threshold baseline, and where the picture is.

    Raises:
        PEError: If a step fails.
    """
    out = settings.out.resolve()
    folders = {name: out / "nnUNet" / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    for folder in (*folders.values(), out / "steps"):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {name: str(folder) for name, folder in folders.items()} | {
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": "2",
        "nnUNet_compile": "f",
        "PYTHONUNBUFFERED": "1",
    }
    learning = _cohort_steps(settings, out) + _training_steps(settings, out, folders)
    if settings.min_embolus_mm3 is None:
        learning.append(_calibration_step(settings, folders))
    count = len(learning) + 3
    runner = StepRunner(out / "steps", environment, count)
    for step in learning:
        runner.run(step)
    link_scans(out / "scans" / "test", out / "scans" / "to_predict")
    for step in _scoring_steps(settings, out):
        runner.run(step)
    smallest = settings.min_embolus_mm3
    if smallest is None:
        smallest = read_fusion(_model(settings, folders) / FUSION_FILE).segmentation.settings.min_volume_mm3
    print(f"[{count}/{count}] threshold baseline, table and picture", flush=True)
    return make_report(out, out / "scans" / "test", runner.seconds, smallest)


def _calibration_step(settings: DemoSettings, folders: dict[str, Path]) -> Step:
    """The smallest finding that is kept, chosen on the scans that training held back, not on those that are scored."""
    return Step(
        "choose the smallest finding on the validation scans",
        (
            *("pe-nnunet", "calibrate", "-d", str(settings.dataset_id), "-f", "0", "--from", "masks"),
            *("--target-fp", str(FALSE_POSITIVES_PER_SCAN), "--volumes", *map(str, SMALLEST_MM3)),
        ),
        (_model(settings, folders) / FUSION_FILE,),
        matching("highest", "    threshold"),
    )


def _model(settings: DemoSettings, folders: dict[str, Path]) -> Path:
    return folders["nnUNet_results"] / _dataset(settings) / MODEL


def _dataset(settings: DemoSettings) -> str:
    return f"Dataset{settings.dataset_id:03d}_{NAME}"


def _cohort_steps(settings: DemoSettings, out: Path) -> list[Step]:
    scans = out / "scans"
    if settings.studies is not None:
        split_studies(settings.studies, settings.held_out, scans)
        return []
    return [
        Step(
            f"{count} phantom scans to {purpose}",
            (
                *("pe-nnunet", "phantom", str(scans / name), "--coarse"),
                *("--cases", str(count), "--seed", str(seed), "--format", form),
            ),
            (scans / name / "phantom.json",),
            everything,
        )
        for name, purpose, count, seed, form in (
            ("train", "train on", settings.train_scans, TRAIN_SEED, "nifti"),
            ("test", "predict, half of them DICOM", settings.test_scans, HELD_OUT_SEED, "mixed"),
        )
    ]


def _training_steps(settings: DemoSettings, out: Path, folders: dict[str, Path]) -> list[Step]:
    number, dataset = settings.dataset_id, _dataset(settings)
    raw, preprocessed, results = folders.values()
    recipe = {"epochs": str(settings.epochs), **settings.recipe}
    train = str(out / "scans" / "train")
    return [
        Step(
            "convert: crop to the lungs",
            ("pe-nnunet", "convert", "studies", train, "-d", str(number), "--name", NAME, "--overwrite"),
            (raw / dataset / "dataset.json",),
            everything,
        ),
        Step(
            "plan and preprocess",
            (
                *("nnUNetv2_plan_and_preprocess", "-d", str(number), "-pl", "PETARUNetPlanner", "-c", "3d_fullres"),
                *("-gpu_memory_target", f"{settings.memory_gb:g}", "-np", "2", "-npfp", "2", "--clean"),
                "--verify_dataset_integrity",
            ),
            (preprocessed / dataset / "PETARUNetPlans.json",),
            matching("Preprocessing dataset", "2d: patch", "3d_fullres: patch"),
        ),
        Step(
            "train TAR-UNet",
            (
                *("nnUNetv2_train", str(number), "3d_fullres", "0", "-tr", "PETARUNetTrainer", "-p", "PETARUNetPlans"),
                *("-device", settings.device),
            ),
            (
                results / dataset / MODEL / "fold_0" / "checkpoint_final.pth",
                results / dataset / MODEL / "fold_0" / "validation",
            ),
            TrainingWatcher(settings.epochs),
            {"PE_NNUNET_RECIPE": " ".join(f"{key}={value}" for key, value in recipe.items())},
        ),
    ]


def _scoring_steps(settings: DemoSettings, out: Path) -> list[Step]:
    predictions, scores, test = out / "predictions", out / "scores", out / "scans" / "test"
    smallest = () if settings.min_embolus_mm3 is None else ("--min-embolus-mm3", f"{settings.min_embolus_mm3:g}")
    return [
        Step(
            "predict the held-out scans",
            (
                *("pe-nnunet-predict-fused", "-i", str(out / "scans" / "to_predict"), "-o", str(predictions)),
                *("-d", str(settings.dataset_id), "-f", "0", "-device", settings.device),
                *smallest,
            ),
            (predictions / "summary.csv",),
            everything,
        ),
        Step(
            "evaluate",
            ("pe-nnunet", "evaluate", "-i", str(predictions), "-g", str(test), "-o", str(scores)),
            (scores / "summary.json",),
        ),
    ]


def clean(out: Path) -> None:
    """Remove what the chain has written, so that it starts anew."""
    for name in ("scans", "nnUNet", "steps", "predictions", "scores"):
        shutil.rmtree(out / name, ignore_errors=True)
