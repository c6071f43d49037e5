"""Tiny datasets in both label schemes, planned, preprocessed and trained by nnU-Net's own functions in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
from nnunetv2.run.run_training import run_training
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from pe_nnunet.registration import register
from tests.conftest import run_nnunet_here

SIDE = 32
CASES = ("a", "b", "c")
LABELS: dict[str, dict[str, Any]] = {
    "pe": {"labels": {"background": 0, "PE": 1}},
    "artery-pe": {"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]},
}
DATASETS = {"pe": (601, "Dataset601_Pe"), "artery-pe": (602, "Dataset602_ArteryPe")}
RECIPE = "epochs=1 iterations=2 validation_iterations=1 test_time_mirroring=no"


class Prepared:
    """Both datasets with what nnU-Net's steps before a training make of them, each step done once for all tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with self._in_use():
            for scheme, (number, name) in DATASETS.items():
                _write_dataset(folder / "nnUNet_raw" / name, scheme)
                extract_fingerprints([number], num_processes=1, show_progress_bar=False)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            _enter(self.folder, patch)
            yield

    def plan(self, scheme: str, planner: str, configurations: list[str]) -> str:
        """Plan and preprocess what is not there yet; returns the name of the plans."""
        number, name = DATASETS[scheme]
        plans = planner.replace("Planner", "Plans")
        written = self.folder / "nnUNet_preprocessed" / name
        with self._in_use():
            if not (written / f"{plans}.json").is_file():
                assert plan_experiments([number], planner, gpu_memory_target_in_gb=0.5) == plans
            identifiers = json.loads((written / f"{plans}.json").read_text())["configurations"]
            new = [name for name in configurations if not (written / identifiers[name]["data_identifier"]).is_dir()]
            if new:
                preprocess([number], plans, new, num_processes=[1] * len(new), show_progress_bar=False)
        return plans


class Workplace:
    """nnU-Net's three folders with both datasets, for one file of tests to change, and its steps."""

    def __init__(self, folder: Path, prepared: Prepared) -> None:
        self.folder = folder
        self._prepared = prepared
        shutil.copytree(prepared.folder / "nnUNet_raw", folder / "nnUNet_raw", dirs_exist_ok=True)

    def plan(self, scheme: str, planner: str, configurations: list[str], *, narrow: bool = False) -> str:
        """Plan and preprocess; returns the name of the plans.

        With `narrow` they begin with four channels, where it does not matter what a network makes of the data.
        """
        plans = self._prepared.plan(scheme, planner, configurations)
        here = self.preprocessed(scheme)
        here.mkdir(exist_ok=True)
        for made in (self._prepared.folder / "nnUNet_preprocessed" / here.name).iterdir():
            if not (here / made.name).exists():
                (shutil.copytree if made.is_dir() else shutil.copyfile)(made, here / made.name)
                if narrow and made.name == f"{plans}.json":
                    _make_narrow(here / made.name)
        return plans

    def train(
        self, scheme: str, trainer: str, plans: str, configuration: str, device: str = "cpu", *, plots: bool = False
    ) -> Path:
        """Train fold 0 for one epoch and validate it; returns the model's folder."""
        _, name = DATASETS[scheme]
        with pytest.MonkeyPatch.context() as patch:  # the planner reads this one too, and cannot do with 0
            patch.setenv("nnUNet_n_proc_DA", "0")
            patch.setenv("nnUNet_compile", "f")  # on a GPU, minutes for networks so small
            if not plots:
                patch.setattr(LocalLogger, "plot_progress_png", lambda *_: None)  # seconds each
            run_training(name, configuration, 0, trainer, plans, device=torch.device(device))
        return self.folder / "nnUNet_results" / name / f"{trainer}__{plans}__{configuration}"

    def preprocessed(self, scheme: str) -> Path:
        return self.folder / "nnUNet_preprocessed" / DATASETS[scheme][1]


def _enter(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let nnU-Net work in a folder, in this process."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (folder / name).mkdir(exist_ok=True)
        patch.setenv(name, str(folder / name))
    run_nnunet_here(patch)


def _make_narrow(path: Path) -> None:
    """Let the networks of plans begin with four channels, for steps that take a fraction of the time."""
    plans = json.loads(path.read_text())
    for configuration in plans["configurations"].values():
        arguments = configuration["architecture"]["arch_kwargs"]
        share = arguments["features_per_stage"][0] // 4
        arguments["features_per_stage"] = [count // share for count in arguments["features_per_stage"]]
    path.write_text(json.dumps(plans))


def _write_dataset(folder: Path, scheme: str) -> None:
    """An artery in lung with a ball of clot in it, at another place in each case."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    z, y, x = np.indices((SIDE, SIDE, SIDE))
    for case, centre in zip(CASES, (10, 16, 22), strict=True):
        artery = np.hypot(y - 16, x - 16) < 7
        clot = (z - centre) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 25
        hu = np.where(clot, 60, np.where(artery, 350, -850)) + rng.normal(0, 20, artery.shape)
        values = (0, 1, 2) if scheme == "artery-pe" else (0, 0, 1)
        label = np.choose(artery.astype(int) + clot, values)
        sitk.WriteImage(sitk.GetImageFromArray(hu.astype(np.int16)), str(folder / "imagesTr" / f"{case}_0000.nii.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(label.astype(np.uint8)), str(folder / "labelsTr" / f"{case}.nii.gz"))
    facts = {"channel_names": {"0": "CT"}, "numTraining": len(CASES), "file_ending": ".nii.gz", **LABELS[scheme]}
    (folder / "dataset.json").write_text(json.dumps(facts))
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """What the tests of all files begin with."""
    register()
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")  # what it patches holds for one file of tests
def workplace(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """Both datasets, in folders of this file's own."""
    folder = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        _enter(folder, patch)
        patch.setenv("PE_NNUNET_RECIPE", RECIPE)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # so small that threads would only wait for each other
        yield Workplace(folder, prepared)
        torch.set_num_threads(threads)
