"""The model that a training starts from, read without running anything of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor

from pe_nnunet.calibration.trained_on import split_of_checkpoint
from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fine_tuning.settings import is_plain_name
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import require_own_values
from pe_nnunet.inference.plan_numbers import require_possible_numbers
from pe_nnunet.named_classes import read_plans
from pe_nnunet.networks import NETWORKS
from pe_nnunet.registration.names import TRAINERS
from pe_nnunet.trainers.check_plans import require_configuration
from pe_nnunet.volumes.files.volume_file import file_sha256


@dataclass(frozen=True)
class FirstModel:
    """A trained model, as its folder has it.

    Attributes:
        folder: `TRAINER__PLANS__CONFIGURATION`.
        plans: Its `plans.json`; every class that it names is a known one.
        dataset_json: Of the dataset that it was trained on.
        configuration: Of the plans, that it was trained with.
        trained_by: The name of its trainer.
        folds: Those that hold the checkpoint.
        checkpoint: File name within a fold.
    """

    folder: Path
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    configuration: str
    trained_by: str
    folds: tuple[str, ...]
    checkpoint: str

    @property
    def name(self) -> str:
        """For people: dataset and folder."""
        return f"{self.plans['dataset_name']}/{self.folder.name}"

    @property
    def trainer(self) -> str:
        """The trainer of ours that goes on: its own, that of its network, or `PETrainer`, which takes any plans."""
        if self.trained_by in TRAINERS:
            return self.trained_by
        path = PlansManager(self.plans).get_configuration(self.configuration).network_arch_class_name
        return next((entry.trainer for entry in NETWORKS.values() if entry.path == path), "PETrainer")

    @property
    def channel_names(self) -> list[str]:
        """Of the images that it was trained on; one of CT where its `dataset.json` names none."""
        facts = self.dataset_json
        return [str(name) for name in (facts.get("channel_names") or facts.get("modality") or {"0": "CT"}).values()]

    def path(self, fold: str) -> Path:
        """The checkpoint of a fold."""
        return self.folder / f"fold_{fold}" / self.checkpoint

    def fold_for(self, fold: str) -> str:
        """The fold whose weights a fold of the new training starts from.

        The same, where there is one: models of several folds start apart, and a fold that is trained on the same
        dataset again validates on what it has not seen. Else the one that was trained on all cases, or the first.
        """
        return next((name for name in (fold, "all") if name in self.folds), self.folds[0])

    def weights(self, fold: str) -> dict[str, Tensor]:
        """The weights of a fold, on the CPU.

        Raises:
            ConfigurationError: As `read_checkpoint`.
        """
        weights: dict[str, Tensor] = read_checkpoint(self.path(fold))["network_weights"]
        return weights

    def record(self, fold: str, *, keep_heads: bool) -> dict[str, Any]:
        """What the checkpoints of a training say of these weights, in plain types."""
        path = self.path(fold)
        return {
            "model": self.name,
            "fold": fold,
            "checkpoint": path.name,
            "sha256": file_sha256(path),
            "trainer": self.trained_by,
            "heads": "kept" if keep_heads else "new",
        }

    def split(self, fold: str) -> TrainingSplit:
        """What a fold was trained on, as far as that is known."""
        return split_of_checkpoint(self.path(fold), fold)


def read_first_model(folder: Path, checkpoint: str) -> FirstModel:
    """Read a model; of its weights, those of one fold are looked at.

    Args:
        folder: See `find_model`.
        checkpoint: File name within a fold.

    Raises:
        ConfigurationError: PE-MODEL-001 or -002 if something is not there, PE-MODEL-003 if something is damaged,
            PE-MODEL-020 if the plans name what is no part of a network.
    """
    everything = locate_folder(folder, None, checkpoint)
    folds = (*everything.folds, *(("all",) if (folder / "fold_all" / checkpoint).is_file() else ()))
    plans, dataset_json = read_plans(folder / "plans.json"), read_dataset_json(folder)
    path = folder / f"fold_{folds[0]}" / checkpoint
    content = read_checkpoint(path)
    require_own_values(content, path)
    configuration = str(content["init_args"]["configuration"])
    try:
        _require_plain_names(plans)
        require_configuration(plans, configuration)
        settings = PlansManager(plans).get_configuration(configuration).configuration
        require_possible_numbers(plans, settings)
    except ConfigurationError:
        raise
    except Exception as error:  # nnU-Net raises whatever plans of other values make it
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigurationError(
            "PE-MODEL-003", f"{folder}: plans.json makes no network ({reason})", "copy the model again"
        ) from error
    trained_by = str(content["trainer_name"])
    return FirstModel(folder, plans, dataset_json, configuration, trained_by, tuple(dict.fromkeys(folds)), checkpoint)


def _require_plain_names(plans: dict[str, Any]) -> None:
    """Check what will name files and folders here: a model from elsewhere must not choose where they lie.

    Raises:
        ValueError: Names the first that is none.
    """
    own = [settings.get("data_identifier") for settings in plans["configurations"].values()]
    names = [plans["plans_name"], plans["dataset_name"], *plans["configurations"], *(name for name in own if name)]
    for name in names:
        if not is_plain_name(name):
            raise ValueError(f"{str(name)[:80]!r} is no name for plans, a dataset, a configuration or its data")
