"""What would end a training, or make its scores wrong, hours after its start: told before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nnunetv2.utilities.crossval_split import generate_crossval_split
from torch import distributed

from pe_nnunet.dataset.channels import check_channels
from pe_nnunet.dataset.dataset_json import pe_label_values
from pe_nnunet.dataset.folders import PREPROCESSED, SPLITS, Split, nnunet_folder
from pe_nnunet.dataset.label_checks import check_label_names
from pe_nnunet.dataset.preprocessed import positive_cases, preprocessed_cases, require_complete
from pe_nnunet.dataset.raw import patients_of_dataset
from pe_nnunet.dataset.split_checks import (
    N_FOLDS,
    TOO_FEW_HINT,
    check_fold,
    read_checked_splits,
    shared_patients,
    too_few_cases,
)
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.files.json_reader import read_json
from pe_nnunet.trainers.check_plans import check_network, check_plans, require_configuration


def is_first_process() -> bool:
    """Whether this is the only process of a training, or the first of several."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def check_start(
    trainer: Any, plans: dict[str, Any], configuration: str, fold: int | str, dataset_json: dict[str, Any]
) -> list[Note]:
    """Refuse plans, data and folds that cannot be trained on, and note what makes scores doubtful; no voxel is read.

    Args:
        trainer: The class, for its network.
        plans: nnU-Net's, as read.
        configuration: The name of one in them.
        fold: A number, or `all`.
        dataset_json: The dataset's `dataset.json`.

    Raises:
        ConfigurationError: PE-PLN-004 or -005 labels and channels, PE-TRAIN-019 other plans than meant, PE-TRAIN-018
            plans that fit no network, PE-TRAIN-012, -013 or -014 folds, PE-TRAIN-017 preprocessed data, PE-TRAIN-008 no
            embolus to train on.
    """
    require_configuration(plans, configuration)
    check_label_names(dataset_json)
    notes = check_channels(dataset_json)
    check_plans(plans, configuration, dataset_json)
    trainer.check(plans, configuration, dataset_json)
    check_network(trainer, plans, configuration, dataset_json)
    if not os.environ.get(PREPROCESSED, "").strip():  # a trainer for its network alone
        return notes
    root = nnunet_folder(PREPROCESSED) / plans["dataset_name"]
    check_origin(root, plans, dataset_json)
    folder = root / data_identifier(plans["configurations"], configuration)
    return notes + _check_cases(root, folder, fold, dataset_json)


def check_origin(root: Path, plans: Mapping[str, Any], dataset_json: dict[str, Any]) -> None:
    """Refuse plans of another dataset, or that would write into the results of other plans.

    Args:
        root: Folder in nnUNet_preprocessed of the dataset that the plans name.
        plans: nnU-Net's, as read.
        dataset_json: The `dataset.json` beside the plans.

    Raises:
        ConfigurationError: PE-TRAIN-019; PE-TRAIN-017 if there is no fingerprint.
    """
    named = plans["plans_name"]
    if _json(root / "dataset.json") != dataset_json:
        raise ConfigurationError(
            "PE-TRAIN-019",
            f"the plans {named} are of {plans['dataset_name']}, whose dataset.json is another one or not there",
            "plan this dataset, or nnUNetv2_move_plans_between_datasets",
        )
    stored = _json(root / f"{named}.json")
    if stored is None or stored["configurations"] != plans["configurations"]:
        found = "is not there" if stored is None else "holds others"
        raise ConfigurationError(
            "PE-TRAIN-019",
            f"the plans call themselves {named}, but {root / named}.json {found}: their results would mix",
            "let plans_name be the name of their file",
        )
    fingerprint = root / "dataset_fingerprint.json"  # nnU-Net copies it beside the model
    if not fingerprint.is_file():
        raise ConfigurationError("PE-TRAIN-017", f"{fingerprint} is not there", "nnUNetv2_extract_fingerprint")


def _check_cases(root: Path, folder: Path, fold: int | str, dataset_json: dict[str, Any]) -> list[Note]:
    labels, ending = root / "gt_segmentations", dataset_json["file_ending"]
    labelled = {path.name.removesuffix(ending) for path in labels.glob(f"*{ending}")}
    cases = preprocessed_cases(folder)
    if fold == "all":
        split: Split = {"train": cases, "val": cases}
        notes = []
    else:
        splits = _splits(root, cases, labelled)
        check_fold(fold, len(splits), str(root / SPLITS))
        split = splits[int(fold)]
        patients = patients_of_dataset(root.name)
        notes = [note for note in shared_patients(splits, patients) if note.message.startswith(f"fold {fold}:")]
    require_complete(folder, dict.fromkeys([*split["train"], *split["val"]]))
    unlabelled = [case for case in split["val"] if case not in labelled]
    if unlabelled:
        raise ConfigurationError(
            "PE-TRAIN-017",
            f"{labels} lacks {unlabelled[0]}{ending}, which validation needs once the training is done",
            "nnUNetv2_preprocess copies the labels there",
        )
    return notes + _check_emboli(folder, fold, split, dataset_json)


def _splits(root: Path, cases: list[str], labelled: set[str]) -> list[Split]:
    """Those of the file, or those that nnU-Net will make."""
    path = root / SPLITS
    if path.is_file():
        return read_checked_splits(path, labelled.union(cases))
    return splits_of_nnunet(cases)


def splits_of_nnunet(cases: Iterable[str]) -> list[Split]:
    """The folds that nnU-Net makes of a dataset without `splits_final.json`.

    Args:
        cases: Ids of its training cases.

    Raises:
        ConfigurationError: PE-TRAIN-014 if there are too few.
    """
    names = sorted(cases)
    few = too_few_cases(len(names))
    if few is not None:
        raise ConfigurationError("PE-TRAIN-014", few, TOO_FEW_HINT)
    made: list[Split] = generate_crossval_split(names, seed=12345, n_splits=N_FOLDS)
    return made


def _check_emboli(folder: Path, fold: int | str, split: Split, dataset_json: dict[str, Any]) -> list[Note]:
    values = pe_label_values(dataset_json["labels"])
    if not positive_cases(folder, split["train"], values):
        raise no_embolus(len(split["train"]), fold)
    if positive_cases(folder, split["val"], values):
        return []
    text = f"none of the {len(split['val'])} validation cases of fold {fold} holds an embolus: its scores are undefined"
    return [Note("PE-TRAIN-015", "warning", text)]


def no_embolus(count: int, fold: int | str) -> ConfigurationError:
    """The error for a fold without an embolus to train on.

    Args:
        count: Of training cases.
        fold: A number, or `all`.
    """
    return ConfigurationError(
        "PE-TRAIN-008",
        f"none of the {count} training cases of fold {fold} holds an embolus",
        "look at the labels with pe-nnunet analyse, and at splits_final.json",
    )


def data_identifier(configurations: Mapping[str, Any], name: str) -> str:
    """The folder of a configuration's preprocessed cases, its own or that of the one it inherits from."""
    settings = configurations[name]
    own = settings.get("data_identifier")
    return str(own) if own is not None else data_identifier(configurations, settings["inherits_from"])


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None
