"""The model's plans, moved to the dataset: what nnU-Net calls plans for pretraining."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from nnunetv2.experiment_planning.plans_for_pretraining.move_plans_between_datasets import move_plans_between_datasets

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_json, text_sha256
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.fine_tuning.first_model import FirstModel
from pe_nnunet.fine_tuning.settings import FineTuneSettings
from pe_nnunet.recipe.resolve import PLANS_KEY

ORIGIN = "pe_nnunet_fine_tuned"
"""Of the record in plans: which model's they were."""

_STAGED = "pe_nnunet_moving"


def name_of_plans(model: FirstModel, settings: FineTuneSettings) -> str:
    """What the moved plans are called: the model's name for them, and where they are from.

    Args:
        model: Whose plans.
        settings: May say otherwise.
    """
    if settings.plans_name is not None:
        return settings.plans_name
    dataset = str(model.plans["dataset_name"])
    number, _, name = dataset.removeprefix("Dataset").partition("_")
    source = number if number.isdecimal() else "".join(letter for letter in name or dataset if letter.isalnum())
    return f"{model.plans['plans_name']}From{source}"


def trained_plans(model: FirstModel, settings: FineTuneSettings, dataset: str) -> dict[str, Any]:
    """The model's plans with what a fine-tuning changes: patch, recipe, and which dataset and model they are of.

    Args:
        model: Whose plans.
        settings: Of the fine-tuning.
        dataset: Name of the dataset's folder.
    """
    plans = deepcopy(model.plans)
    if settings.patch_size:
        plans["configurations"][model.configuration]["patch_size"] = list(settings.patch_size)
    stored = plans.get(PLANS_KEY, {})
    origin = {
        "model": model.name,
        "plans_sha256": text_sha256(json.dumps(model.plans, sort_keys=True)),
        "patch_size": list(settings.patch_size),
    }
    return plans | {"dataset_name": dataset, PLANS_KEY: {**stored, **settings.recipe}, ORIGIN: origin}


def require_same_origin(path: Path, plans: dict[str, Any]) -> bool:
    """Whether the moved plans are there already.

    Args:
        path: Where they go.
        plans: Those of `trained_plans`.

    Raises:
        ConfigurationError: PE-TRAIN-026 if others are there, whose trainings would mix with this one.
    """
    if not path.exists():
        return False
    try:
        there = read_object(path).get(ORIGIN)
    except MALFORMED as error:
        raise ConfigurationError("PE-TRAIN-026", f"{path} cannot be read: {why(error)}", "remove it") from error
    if there != plans[ORIGIN]:
        whose = f"those of {there['model']} with other numbers" if isinstance(there, dict) else "not from fine-tuning"
        if isinstance(there, dict) and there["model"] != plans[ORIGIN]["model"]:
            whose = f"those of {there['model']}"
        raise ConfigurationError(
            "PE-TRAIN-026",
            f"{path} is there and holds other plans, {whose}; expected those of {plans[ORIGIN]['model']}",
            "--plans-name gives the new ones another name",
        )
    return True


def move_plans(path: Path, plans: dict[str, Any]) -> None:
    """Write plans into a dataset's folder in `nnUNet_preprocessed`, as nnU-Net does, under the name of the file.

    nnU-Net's function takes plans from the preprocessed folder of their own dataset, which an installed model lacks; so
    they lie in the new one's for a moment.

    Args:
        path: The file.
        plans: Those of `trained_plans`.
    """
    if require_same_origin(path, plans):
        there = read_object(path)
        if there[PLANS_KEY] != plans[PLANS_KEY]:
            atomic_json(path, there | {PLANS_KEY: plans[PLANS_KEY]})
        return
    staged, dataset = path.with_name(f"{_STAGED}.json"), path.parent.name
    atomic_json(staged, plans | {"plans_name": _STAGED})
    try:
        move_plans_between_datasets(dataset, dataset, _STAGED, path.stem)
    finally:
        staged.unlink()
