"""What cross-validation left behind: each case's probabilities by the model that was not trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.dataset.dataset_json import pe_channel, read_dataset_json
from pe_nnunet.errors import ConfigurationError, GeometryError, InputError

VALIDATION = "validation"


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """One model, by nnU-Net's results folder `TRAINER__PLANS__CONFIGURATION`.

    Attributes:
        folder: The folder.
        channel: Of PE among the stored probabilities.
        fold_of: case id -> the fold whose validation it is in.
    """

    folder: Path
    channel: int
    fold_of: dict[str, str]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def probability(self, case: str) -> NDArray[np.float32]:
        """PE probabilities of a case, (z, y, x), on the grid of its label.

        Raises:
            InputError: PE-EVAL-011 if the file cannot be read.
        """
        path = self.folder / f"fold_{self.fold_of[case]}" / VALIDATION / f"{case}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return np.asarray(stored["probabilities"][self.channel], np.float32)
        except Exception as error:  # a damaged archive makes numpy raise whatever its parts raise
            raise InputError("PE-EVAL-011", f"{path} holds no probabilities: {error}", "validate again") from error


def cross_validated(folder: Path, folds: Sequence[str]) -> CrossValidated:
    """Find a model's validation results.

    Args:
        folder: A model folder below `nnUNet_results/DATASET`.
        folds: Which folds.

    Raises:
        ConfigurationError: PE-MODEL-001 if it is no model folder; PE-EVAL-011 if a fold has no probabilities, or a case
            lies in two folds.
    """
    if not (folder / "dataset.json").is_file():
        raise ConfigurationError("PE-MODEL-001", f"no trained model in {folder}", "check -tr, -p and -c")
    fold_of: dict[str, str] = {}
    for fold in folds:
        cases = sorted(path.stem for path in (folder / f"fold_{fold}" / VALIDATION).glob("*.npz"))
        if not cases:
            trainer, plans, configuration = [*folder.name.split("__"), "", ""][:3]
            raise ConfigurationError(
                "PE-EVAL-011",
                f"fold {fold} of {folder.name} has no validation probabilities",
                f"nnUNetv2_train {folder.parent.name} {configuration} {fold} -tr {trainer} -p {plans} --val --npz",
            )
        if double := sorted(fold_of.keys() & set(cases)):
            raise ConfigurationError("PE-EVAL-011", f"{double[0]} lies in two folds of {folder.name}", "train anew")
        fold_of.update(dict.fromkeys(cases, fold))
    dataset = read_dataset_json(folder)
    return CrossValidated(folder, pe_channel(dataset["labels"], bool(dataset.get("regions_class_order"))), fold_of)


def mean_probability(models: Sequence[CrossValidated], case: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """The mean PE probability of several models.

    Raises:
        InputError: PE-EVAL-011 if a file cannot be read.
        GeometryError: PE-GEO-001 if one is not on the label's grid.
    """
    total = np.zeros(tuple(shape), np.float32)
    for model in models:
        probability = model.probability(case)
        if probability.shape != total.shape:
            raise GeometryError(
                "PE-GEO-001",
                f"the probabilities of case {case} by {model.name} have shape {probability.shape} (z, y, x), its label "
                f"{total.shape}",
            )
        total += probability / len(models)
    return total
