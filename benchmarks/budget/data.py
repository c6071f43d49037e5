"""The cohort, converted and planned once for all arms: phantoms, or a folder of studies split several ways."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from budget.arms import PLANNERS, Arm
from budget.share import Share

from pe_nnunet.dataset.split_checks import read_splits
from pe_nnunet.demo.steps import link, split_studies
from pe_nnunet.processes import usable_processors

CONFIGURATION = "3d_fullres"
TRAIN_SEED, TEST_SEED = 1, 5


@dataclass(frozen=True)
class Cohort:
    """Scans to train on, to choose thresholds on, and to score.

    Attributes:
        folder: Everything of it lies here.
        memory_gb: The planners' memory target.
        share: What each arm has of the machine.
    """

    folder: Path
    memory_gb: float
    share: Share

    @property
    def test(self) -> Path:
        """Studies that are scored, truth beside them."""
        return self.folder / "scans" / "test"

    @property
    def train(self) -> Path:
        """Studies that are trained on; those of fold 0's validation choose the thresholds."""
        return self.folder / "scans" / "train"

    def environment(self, results: Path) -> dict[str, str]:
        """nnU-Net's variables, one process for data augmentation, no compilation."""
        folders = {name: self.folder / "nnUNet" / name for name in ("nnUNet_raw", "nnUNet_preprocessed")}
        for path in (*folders.values(), results):
            path.mkdir(parents=True, exist_ok=True)
        return {
            **os.environ,
            **{name: str(path) for name, path in folders.items()},
            "nnUNet_results": str(results),
            "nnUNet_n_proc_DA": "1",
            "nnUNet_def_n_proc": "2",
            "nnUNet_compile": "f",
            **self.share.environment(),
        }

    def dataset_id(self, arm: Arm) -> int:
        """One dataset a margin around the lungs."""
        return 501 if arm.margin_mm < 100 else 502

    def dataset(self, arm: Arm) -> str:
        """Its name."""
        return f"Dataset{self.dataset_id(arm):03d}_Budget"

    def validation_cases(self, arm: Arm) -> list[str]:
        """Held back from training in fold 0."""
        preprocessed = self.folder / "nnUNet" / "nnUNet_preprocessed" / self.dataset(arm)
        return read_splits(preprocessed, code="PE-ENV-002")[0]["val"]

    def prepare(self, arm: Arm) -> None:
        """Convert and plan what the arm needs and is not there yet."""
        environment, number = self.environment(self.folder / "unused"), str(self.dataset_id(arm))
        preprocessed = self.folder / "nnUNet" / "nnUNet_preprocessed" / self.dataset(arm)
        if not (self.folder / "nnUNet" / "nnUNet_raw" / self.dataset(arm) / "dataset.json").exists():
            command = ["pe-nnunet", "convert", "studies", str(self.train), "-d", number, "--name", "Budget"]
            run([*command, "--lung-margin-mm", f"{arm.margin_mm:g}"], environment)
        if not (preprocessed / f"{arm.plans}.done").exists():
            command = ["nnUNetv2_plan_and_preprocess", "-d", number, "-pl", PLANNERS[arm.plans], "-c", CONFIGURATION]
            workers = str(usable_processors())
            run([*command, "-gpu_memory_target", f"{self.memory_gb:g}", "-np", workers, "-npfp", workers], environment)
            (preprocessed / f"{arm.plans}.done").touch()


def phantom_cohort(folder: Path, train: int, test: int, memory_gb: float, share: Share) -> Cohort:
    """Coarse phantoms."""
    for name, count, seed in (("train", train, TRAIN_SEED), ("test", test, TEST_SEED)):
        scans = folder / "scans" / name
        if not (scans / "phantom.json").exists():
            command = ["pe-nnunet", "phantom", str(scans), "--coarse", "--cases", str(count), "--seed", str(seed)]
            run(command, dict(os.environ))
    return Cohort(folder, memory_gb, share)


def studies_cohort(folder: Path, studies: Path, split: int, per_split: int, memory_gb: float, share: Share) -> Cohort:
    """Studies of a folder, of which split k scores the k-th few in the order of their names."""
    cases = sorted(path.name for path in studies.iterdir() if path.is_dir())
    held_out = tuple(cases[split * per_split : (split + 1) * per_split])
    if not held_out:
        raise SystemExit(f"{studies} has {len(cases)} studies: no split {split} of {per_split} each")
    split_studies(studies, held_out, folder / "scans")
    return Cohort(folder, memory_gb, share)


def scans_alone(studies: Path, cases: list[str] | None, folder: Path) -> Path:
    """The scans of some studies, of all if None, linked without their truth."""
    for scan in sorted(studies.glob("*/ct*")):
        if cases is None or scan.parent.name in cases:
            link(scan, folder / scan.parent.name / scan.name)
    return folder


def run(command: list[str], environment: dict[str, str]) -> None:
    """A command of this environment; the log of one that fails is shown."""
    program = Path(sys.executable).parent / command[0]
    print("   $", " ".join(command), flush=True)
    done = subprocess.run(
        [str(program) if program.exists() else command[0], *command[1:]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout[-3000:]}\n{command[0]} ended with exit code {done.returncode}")
