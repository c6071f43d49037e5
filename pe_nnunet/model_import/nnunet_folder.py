"""A published model that its authors give as an nnU-Net model folder."""

from __future__ import annotations

from pathlib import Path

import torch

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.locate import FINAL, no_checkpoint, stored_checkpoints
from pe_nnunet.inference.locate import ModelLocation as Location
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.published import PublishedModel, recognised
from pe_nnunet.model_import.content import ModelContent, description
from pe_nnunet.named_classes import read_plans


def published_model(folder: Path) -> PublishedModel:
    """Which published model an nnU-Net model folder holds.

    Args:
        folder: Holds `plans.json` and `dataset.json`.

    Raises:
        ConfigurationError: PE-MODEL-021 if it is none that is known, PE-MODEL-001, -003 or -020 if it is damaged.
    """
    model = recognised(read_plans(folder / "plans.json"), read_dataset_json(folder))
    if model is None:
        raise ConfigurationError(
            "PE-MODEL-021",
            f"{folder} is an nnU-Net model, and none that is published and known here",
            "predict with it as it is: -m FOLDER; `pe-nnunet install-model` takes in what export-model packed",
        )
    return model


def read_nnunet_folder(folder: Path, dataset_name: str) -> ModelContent:
    """A published model as it was released, with all folds that are there; each is loaded once, to know that it can be.

    Args:
        folder: Holds `plans.json`, `dataset.json` and `fold_*`.
        dataset_name: `DatasetXXX_Name`, for the plans.

    Raises:
        ConfigurationError: As `published_model`, and PE-MODEL-002 or -003 if it is damaged or incomplete.
    """
    plans, dataset_json = read_plans(folder / "plans.json"), read_dataset_json(folder)
    folds = {
        fold: folder / f"fold_{fold}" / FINAL for fold, files in stored_checkpoints(folder).items() if FINAL in files
    }
    if not folds:
        raise no_checkpoint(folder, (), FINAL)
    parameters = 0
    for fold in folds:  # one after another: each has up to a gigabyte
        network = load_model(Location(folder, (fold,)), torch.device("cpu")).network
        parameters = sum(parameter.numel() for parameter in network.parameters())
    return ModelContent(
        plans={**plans, "dataset_name": dataset_name},
        dataset_json={**dataset_json, **description(published_model(folder), f"the folder {folder.name}")},
        folds=folds,
        mirror_axes=None,
        parameters=parameters,
    )
