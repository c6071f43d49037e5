"""The scans of the comparison, split by name, and what each arm needs of them: a converted dataset and plans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from zlib import crc32

from budget.arms import Arm

from pe_nnunet.dataset.folders import SPLITS
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.dataset.split_checks import read_splits
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.splits import patients_of, splits_of, training_cases
from pe_nnunet.demo.steps import link
from pe_nnunet.files import atomic_json
from pe_nnunet.processes import usable_processors

CONFIGURATION = "3d_fullres"
TRAIN_SEED, TEST_SEED = 1, 5
DATASET_IDS = {("pe", 10.0): 501, ("artery-pe", 10.0): 502, ("pe", 1000.0): 503}  # by scheme and margin


@dataclass(frozen=True)
class Cohort:
    """Scans to train on, of which fold 0's validation chooses the operating points, and scans to score.

    Attributes:
        title: In the results; scans of other names, or another memory target, are another cohort.
        folder: Everything of it lies here; `scans/train` and `scans/test` hold the studies.
        memory_gb: The planners' memory target.
        device: `cpu` or `cuda`.
        patients: Whose a scan is, by its name; of those that are not named each is a patient of its own.
    """

    title: str
    folder: Path
    memory_gb: float
    device: str = "cpu"
    patients: dict[str, str] = field(default_factory=dict)

    @property
    def train(self) -> Path:
        """Studies to train on and to choose by."""
        return self.folder / "scans" / "train"

    @property
    def test(self) -> Path:
        """Studies that are scored, truth beside them, and in no dataset."""
        return self.folder / "scans" / "test"

    def environment(self, results: Path, **more: str) -> dict[str, str]:
        """nnU-Net's variables: a processor is left to the training, and nothing is compiled."""
        folders = {name: self.folder / "nnUNet" / name for name in ("nnUNet_raw", "nnUNet_preprocessed")}
        folders["nnUNet_results"] = results
        for path in folders.values():
            path.mkdir(parents=True, exist_ok=True)
        workers = str(min(12, max(1, usable_processors() - 1)))
        processes = {"nnUNet_n_proc_DA": workers, "nnUNet_def_n_proc": "2", "nnUNet_compile": "f"}
        return {**os.environ, **{name: str(path) for name, path in folders.items()}, **processes, **more}

    def dataset_id(self, arm: Arm) -> int:
        """One dataset a scheme and margin; all have the same folds."""
        return DATASET_IDS[arm.scheme, arm.margin_mm]

    def dataset(self, arm: Arm) -> str:
        """Its name."""
        return f"Dataset{self.dataset_id(arm)}_Budget"

    def validation_cases(self, arm: Arm) -> list[str]:
        """Held back from training in fold 0."""
        preprocessed = self.folder / "nnUNet" / "nnUNet_preprocessed" / self.dataset(arm)
        return read_splits(preprocessed, code="PE-ENV-002")[0]["val"]

    def prepare(self, arm: Arm) -> None:
        """Convert and plan what the arm needs and is not there yet."""
        environment, number = (
            self.environment(self.folder / "unused", PE_NNUNET_PLAN=arm.plan),
            str(self.dataset_id(arm)),
        )
        if not (self.folder / "nnUNet" / "nnUNet_raw" / self.dataset(arm) / "dataset.json").exists():
            command = ["pe-nnunet", "convert", "studies", str(self.train), "-d", number, "--name", "Budget"]
            run([*command, "--scheme", arm.scheme, "--lung-margin-mm", f"{arm.margin_mm:g}"], environment)
            self._keep_patients_together(self.folder / "nnUNet" / "nnUNet_raw" / self.dataset(arm))
        planned = self.folder / "nnUNet" / "nnUNet_preprocessed" / self.dataset(arm) / f"{arm.plans}.done"
        if not planned.exists():
            command = ["nnUNetv2_plan_and_preprocess", "-d", number, "-pl", arm.planner, "-c", CONFIGURATION]
            command += ["-overwrite_plans_name", arm.plans] if arm.plan else []
            workers = str(usable_processors())
            run([*command, "-gpu_memory_target", f"{self.memory_gb:g}", "-np", workers, "-npfp", workers], environment)
            planned.touch()

    def _keep_patients_together(self, dataset: Path) -> None:
        """Deal scans out to folds anew where `patients` says that one has several; else the folds stay as they are."""
        named = [self.patients[path.name] for path in self.train.iterdir() if path.name in self.patients]
        if len(set(named)) == len(named):
            return
        records = training_cases(load_cases(dataset))
        patient = patients_of(records) | self.patients
        atomic_json(dataset / SPLITS, splits_of(records, patient, ConvertOptions()))


def phantoms(work: Path, train: int, test: int) -> tuple[Path, list[str]]:
    """Coarse phantoms, made unless they are there.

    Returns:
        Their folder, and the patterns of those to score.
    """
    folder = work / f"phantoms_{train}_{test}"
    for name, count, seed in (("train", train, TRAIN_SEED), ("test", test, TEST_SEED)):
        made = work / f"phantoms_{name}_{count}"
        if not (made / "phantom.json").exists():
            command = ["pe-nnunet", "phantom", str(made), "--coarse", "--cases", str(count), "--seed", str(seed)]
            run(command, dict(os.environ))
        for study in sorted(path for path in made.iterdir() if path.is_dir()):
            link(study, folder / f"{name}_{study.name}")
    return folder, ["test_*"]


def split_by_name(studies: Path, patterns: Sequence[str], patients: dict[str, str]) -> tuple[list[str], list[str]]:
    """The names of the studies to train on, and of those to score.

    Args:
        studies: One folder a study.
        patterns: Of the names to score, as a shell has them; each must name one.
        patients: Whose a scan is, where several are of one.
    """
    cases = sorted(path.name for path in studies.iterdir() if path.is_dir() and any(path.glob("ct*")))
    for pattern in patterns:
        if not any(fnmatchcase(case, pattern) for case in cases):
            raise SystemExit(f"{studies} has no study {pattern}; there are {', '.join(cases) or 'none'}")
    test = [case for case in cases if any(fnmatchcase(case, pattern) for pattern in patterns)]
    train = [case for case in cases if case not in test]
    people = {patients.get(case, case) for case in train}
    if both := people & {patients.get(case, case) for case in test}:
        raise SystemExit(f"patient {min(both)} has scans to train on and scans to score: name all of them with --test")
    if len(train) < 2 or not test:
        raise SystemExit(f"{studies} leaves {len(train)} studies to train on and {len(test)} to score")
    if len(people) < 2:
        raise SystemExit(f"all scans to train on are of patient {min(people)}: none is left to choose by")
    return train, test


def cohort(
    work: Path,
    studies: Path,
    patterns: Sequence[str],
    memory_gb: float,
    device: str = "cpu",
    patients: dict[str, str] | None = None,
) -> Cohort:
    """Link the studies of a folder into scans to train on and scans to score."""
    train, test = split_by_name(studies, patterns, patients or {})
    # other scans, or other plans, must never meet datasets that lie there
    folder = work / f"{studies.name}_{mark([str(studies.resolve()), train, test, memory_gb])}"
    for part, cases in (("train", train), ("test", test)):
        for case in cases:
            link(studies / case, folder / "scans" / part / case)
    where = "" if device == "cpu" else ", on a GPU"
    counts = f"{len(train)} scans to train on, {len(test)} to score (split {mark([train, test])})"
    title = f"{studies.name}: {counts}, {memory_gb:g} GB{where}"
    return Cohort(title, folder, memory_gb, device, patients or {})


def mark(what: Any) -> str:
    """A few digits that tell what can be JSON from other such things."""
    return f"{crc32(json.dumps(what).encode()):08x}"


def scans_alone(studies: Path, cases: Sequence[str] | None, folder: Path) -> Path:
    """The scans of some studies, of all if None, linked without their truth."""
    for scan in sorted(studies.glob("*/ct*")):
        if cases is None or scan.parent.name in cases:
            link(scan, folder / scan.parent.name / scan.name)
    return folder


def run(command: Sequence[str], environment: dict[str, str]) -> None:
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
