"""Trainings that are killed: they go on from their checkpoint, and end with the weights of an unbroken one."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kill.commands import DATASET, MODEL, fresh
from tests.kill.compare import left_behind
from tests.kill.processes import Moment, environment, run
from tests.kill.trials import moments, require_clean, require_done, require_no_traceback

RECIPE = "epochs=4 iterations=2 validation_iterations=1 test_time_mirroring=no checkpoint_epochs=1"
SEGMENTER = Path("nnUNet_results") / DATASET / MODEL / "fold_0"


@dataclass(frozen=True)
class Training:
    """A command that trains, and how it is gone on with."""

    name: str
    first: Sequence[str]
    again: Sequence[str]
    done: Sequence[str] = ()

    def trials(self, folder: Path, count: int, seed: int) -> list[str]:
        """Train without a stop, then kill so many times; what failed."""
        variables = environment(folder / "work", PE_NNUNET_RECIPE=RECIPE)
        fresh(folder, _prepare)
        whole = run(self.first, folder, variables)
        require_done(whole, ())
        expected = _weights(folder / "work")
        print(f"{self.name}: unbroken {whole.seconds:.1f} s, {whole.steps} steps", flush=True)
        failures, begun, chosen = [], time.monotonic(), moments(count, whole, f"{seed} {self.name}")
        for number, moment in enumerate(chosen, 1):
            try:
                result = self._killed(folder, moment, variables, expected)
            except AssertionError as error:
                result = f"FAILED {error}"
                failures.append(f"{self.name} killed at {moment} (seed {seed}): {error}")
            left_s = (time.monotonic() - begun) / number * (count - number)
            print(f"  {number}/{count} {moment}: {result}, about {left_s:.0f} s left", flush=True)
        return failures

    def _killed(self, folder: Path, moment: Moment, variables: Mapping[str, str], expected: Mapping[str, Any]) -> str:
        fresh(folder, _prepare)
        ended = run(self.first, folder, variables, moment)
        require_no_traceback(ended)
        if ended.code == 0:
            return "was done before"
        reached = _stored_epoch(folder / "work" / SEGMENTER)
        again = run(self.again, folder, variables)
        require_done(again, self.done)
        begun = re.findall(r"Epoch (\d+) *$", again.output, re.MULTILINE)
        if reached is not None and begun and int(begun[0]) < reached:
            raise AssertionError(f"began again in epoch {begun[0]}, though a checkpoint holds {reached}")
        if left := left_behind(folder / "work"):
            raise AssertionError(f"left behind: {left[:5]}")
        require_clean(folder)
        _require_equal(_weights(folder / "work"), expected)
        return f"as unbroken, went on from epoch {reached}" if reached is not None else "as unbroken"


TRAIN = (
    "nnUNetv2_train",
    "501",
    "3d_fullres",
    "0",
    "-tr",
    "PETARUNetTrainer",
    "-p",
    "PETARUNetPlans",
    "-device",
    "cpu",
)
DETECT = ("train-detector", "-d", "501", "-f", "0", "--epochs", "2", "--image-size", "64", "-device", "cpu")
TRAININGS = (
    Training("train", TRAIN, (*TRAIN, "--c")),
    Training("train-detector", DETECT, DETECT, done=("PE-MODEL-009",)),
)


def prepare_training(folder: Path) -> None:
    """Plan and preprocess the converted dataset, for a network that takes a second an epoch."""
    made = folder / "inputs" / "preprocessed"
    if made.exists():
        return
    fresh(folder, lambda inputs, work: shutil.copytree(inputs / "raw", work / "nnUNet_raw") and None)
    for name in ("preprocessed", "results"):
        (folder / "work" / f"nnUNet_{name}").mkdir()
    planning = (
        *("nnUNetv2_plan_and_preprocess", "-d", "501", "-pl", "PETARUNetPlanner", "-c", "3d_fullres"),
        *("-gpu_memory_target", "0.5", "-np", "1", "-npfp", "1"),
    )
    require_done(run(planning, folder, environment(folder / "work")), ())
    path = folder / "work" / "nnUNet_preprocessed" / DATASET / "PETARUNetPlans.json"
    plans = json.loads(path.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration["patch_size"] = [32, 32, 32]
    network = configuration["architecture"]["arch_kwargs"]
    network |= {"n_stages": 2, "features_per_stage": [4, 8]}
    network |= {name: network[name][:2] for name in ("kernel_sizes", "strides")}
    path.write_text(json.dumps(plans))
    shutil.copytree(folder / "work" / "nnUNet_preprocessed", made)


def _prepare(inputs: Path, work: Path) -> None:
    shutil.copytree(inputs / "raw", work / "nnUNet_raw")
    shutil.copytree(inputs / "preprocessed", work / "nnUNet_preprocessed")
    (work / "nnUNet_results").mkdir()


def _stored_epoch(fold: Path) -> int | None:
    """The epoch from which the last checkpoint that can be read goes on."""
    import torch

    files = [path for name in ("final", "latest") if (path := fold / f"checkpoint_{name}.pth").is_file()]
    stored = [torch.load(path, map_location="cpu", weights_only=True) for path in files]
    return max((int(content["current_epoch"]) for content in stored), default=None)


def _weights(work: Path) -> dict[str, Any]:
    """The tensors of what was trained, and that it is whole."""
    import torch

    from pe_nnunet.detection.record import DetectorRecord

    if (work / SEGMENTER).is_dir():
        if not (work / SEGMENTER / "validation" / "summary.json").is_file():
            raise AssertionError("no validation")
        stored = torch.load(work / SEGMENTER / "checkpoint_final.pth", map_location="cpu", weights_only=True)
        return dict(stored["network_weights"]) | {"epoch": torch.tensor(stored["current_epoch"])}
    (detector,) = (work / "nnUNet_results" / DATASET).glob("PEDetector__*/fold_0")
    DetectorRecord.read(detector)  # compares hashes
    return dict(torch.load(detector / "detector.pt", map_location="cpu", weights_only=True)["state_dict"])


def _require_equal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    import torch

    other = [name for name in expected if name not in found or not torch.equal(found[name], expected[name])]
    if other or found.keys() != expected.keys():
        raise AssertionError(f"{len(other)} of {len(expected)} tensors differ from those of an unbroken training")
