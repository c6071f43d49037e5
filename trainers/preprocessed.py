"""A trainer for a preprocessed dataset, outside nnU-Net's own command, which keeps nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, RESULTS, dataset_folder, nnunet_folder
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.registration.table import TRAINERS, load_class
from pe_nnunet.trainers.base import PETrainer


@contextmanager
def trainer_of(
    dataset: str, trainer: str, plans: str, configuration: str, fold: str, device: str | None
) -> Iterator[PETrainer]:
    """One of our trainers, whose folder of results is gone after the block.

    Args:
        dataset: Number or name of a preprocessed dataset.
        trainer: Name of the class.
        plans: As nnU-Net's `-p`.
        configuration: As nnU-Net's `-c`.
        fold: A number, or `all`.
        device: Name of the device; None for CUDA where there is one.

    Raises:
        ConfigurationError: PE-TRAIN-007 if one of these does not exist.
    """
    if trainer not in TRAINERS:
        raise ConfigurationError("PE-TRAIN-007", f"{trainer} is none of our trainers", f"known: {', '.join(TRAINERS)}")
    root = dataset_folder(nnunet_folder(PREPROCESSED), dataset, "PE-TRAIN-007")
    path = root / f"{plans}.json"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in root.glob("*Plans.json")))
        raise ConfigurationError("PE-TRAIN-007", f"{path} is not there", f"name plans with -p; there are {there}")
    content = json.loads(path.read_text(encoding="utf-8"))
    described = content["configurations"].get(configuration)
    if described is None or not (root / described["data_identifier"]).is_dir():
        raise ConfigurationError("PE-TRAIN-007", f"{configuration} of {plans} is not preprocessed", "preprocess first")
    facts = read_dataset_json(root, "PE-TRAIN-007")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with tempfile.TemporaryDirectory() as folder, _results_in(Path(folder)):
        number = int(fold) if fold.isdecimal() else fold
        made: PETrainer = load_class(trainer)(
            content | {"continue_training": False}, configuration, number, facts, where
        )
        yield made


@contextmanager
def _results_in(folder: Path) -> Iterator[None]:
    before = os.environ.get(RESULTS)
    os.environ[RESULTS] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[RESULTS]
        else:
            os.environ[RESULTS] = before
