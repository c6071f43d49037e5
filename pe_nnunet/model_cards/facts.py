"""What a model folder says of itself: network, plans, recipe, folds and their splits, with hashes and without cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.dataset.dataset_json import DATASET, citation_of, licence_of, notice_of, read_dataset_json
from pe_nnunet.dataset.scan_hashes import ScanHashes
from pe_nnunet.dataset.training_split import KEY, TrainingSplit
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.published import with_terms
from pe_nnunet.named_classes import read_plans
from pe_nnunet.volumes.files.volume_file import file_sha256

RECIPE = "pe_recipe"  # of a checkpoint
_NO_SPLIT = "the checkpoint does not say which scans it was trained on"


def model_facts(location: ModelLocation) -> dict[str, Any]:
    """Everything that a card says of a model, but for its scores and what its author states.

    Args:
        location: The model and its folds.

    Returns:
        JSON's types. Of scans there are numbers and a hash of all their hashes; no names.

    Raises:
        ConfigurationError: PE-MODEL-001, -002, -003 or -020, as `read_dataset_json`, `read_checkpoint`, `read_plans`.
    """
    folder = location.folder
    plans, dataset = read_plans(folder / "plans.json"), read_dataset_json(folder)
    network: dict[str, Any] = {}
    folds, recipes = [], list[dict[str, Any]]()
    trained: dict[str, Any] = {}
    for fold in location.folds:
        path = folder / f"fold_{fold}" / location.checkpoint
        checkpoint = read_checkpoint(path)
        folds.append(_fold(fold, path, checkpoint))
        if not trained:
            trained = _by(plans, checkpoint, folder)
            network = {**trained.pop("network"), "numbers": _numbers(checkpoint["network_weights"])}
        recipe = checkpoint.get(RECIPE)
        if isinstance(recipe, Mapping):
            same = next((one for one in recipes if one["values"] == recipe), None)
            if same is None:
                recipes.append({"folds": [fold], "values": dict(recipe)})
            else:
                same["folds"].append(fold)
    terms = with_terms(plans, dataset)
    facts = {
        "model": {
            "name": folder.name,
            "dataset": str(plans.get("dataset_name") or folder.parent.name),
            "description": str(dataset.get("description") or ""),
            "training_scans": dataset.get("numTraining"),
            "labels": dataset["labels"],
            "channels": list((dataset.get("channel_names") or dataset.get("modality") or {}).values()),
            "licence": licence_of(terms),
            "citation": citation_of(terms),
            **({"notice": notice} if (notice := notice_of(dataset)) else {}),
        },
        "network": network,
        "plans": trained,
        "folds": folds,
        "recipes": recipes,
        "sha256": {name: file_sha256(folder / name) for name in ("plans.json", DATASET)},
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain


def split_sha256(scans: ScanHashes) -> str | None:
    """One hash of a set of scans, whatever they are called; None where a scan has no hash.

    Args:
        scans: Case id -> hashes, as checkpoints keep them.

    Example:
        >>> split_sha256({"a": ("1", "2"), "b": ("3",)}) == split_sha256({"x": ("3",), "y": ("2", "1")})
        True
        >>> split_sha256({"a": ()}) is None
        True
    """
    if not scans or not all(scans.values()):
        return None
    lines = sorted(" ".join(sorted(hashes)) for hashes in scans.values())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _fold(fold: str, path: Path, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint: its file, how long it was trained, and on how many scans."""
    split, epochs = TrainingSplit.from_plain(checkpoint.get(KEY)), checkpoint.get("current_epoch")
    known = split is not None and bool(split.train or split.val)
    return {
        "fold": fold,
        "checkpoint": path.name,
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        "trainer": str(checkpoint["trainer_name"]),
        "epochs": epochs if isinstance(epochs, int) else None,
        "trained_on": _scans(split.train) if split is not None and known else None,
        "validated_on": _scans(split.val) if split is not None and known else None,
        "doubt": _NO_SPLIT if split is None else split.unknown,
    }


def _scans(scans: ScanHashes) -> dict[str, Any]:
    return {"scans": len(scans), "sha256": split_sha256(scans)}


def _by(plans: dict[str, Any], checkpoint: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the plans say for the configuration that a checkpoint was trained by, the network among it."""
    try:
        name = str(checkpoint["init_args"]["configuration"])
        settings = PlansManager(plans).get_configuration(name).configuration
        architecture = settings["architecture"]
        arguments = architecture["arch_kwargs"]
        return {
            "name": str(plans["plans_name"]),
            "configuration": name,
            "planner": str(plans.get("experiment_planner_used") or ""),
            "patch_size": list(settings["patch_size"]),
            "spacing_mm": [float(mm) for mm in settings["spacing"]],
            "transpose_forward": list(plans["transpose_forward"]),
            "batch_size": settings["batch_size"],
            "normalisation": list(settings["normalization_schemes"]),
            "network": {
                "class": str(architecture["network_class_name"]),
                "features": arguments.get("features_per_stage"),
                "strides": arguments.get("strides"),
            },
        }
    except Exception as error:  # nnU-Net raises whatever plans of other values make it
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigurationError(
            "PE-MODEL-003", f"{folder}: plans.json and checkpoints do not fit together ({reason})", "copy it again"
        ) from error


def _numbers(weights: Mapping[str, Any]) -> int:
    """How many numbers the weights are; nnU-Net's own networks name some of theirs twice."""
    held = {(one.untyped_storage().data_ptr(), one.storage_offset(), one.shape): one for one in weights.values()}
    return sum(int(one.numel()) for one in held.values())
