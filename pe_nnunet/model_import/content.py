"""What a published model holds once it is read: all that its folder is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.inference.published import PublishedModel

CONFIGURATION = "3d_fullres"


@dataclass(frozen=True)
class ModelContent:
    """Plans, description and weights.

    Attributes:
        plans: Content of `plans.json`.
        dataset_json: Content of `dataset.json`.
        folds: By fold: a checkpoint of nnU-Net's that is copied as it is, or the weights of one.
        mirror_axes: Spatial axes over which prediction may be mirrored, for weights; None for none.
        parameters: How many numbers the network has.
    """

    plans: Mapping[str, Any]
    dataset_json: Mapping[str, Any]
    folds: Mapping[str, Path | Mapping[str, Any]]
    mirror_axes: tuple[int, ...] | None
    parameters: int


def description(model: PublishedModel, source: str) -> dict[str, str]:
    """What `dataset.json` says of where weights are from, and of their terms.

    Args:
        model: The published model.
        source: The file or folder, and its hash, in words.
    """
    return {"description": f"{model.title}'s published weights, imported from {source}", **model.terms}


def dataset_of(
    about: Mapping[str, str], labels: Mapping[str, Any], training_scans: int, **further: Any
) -> dict[str, Any]:
    """nnU-Net's description of the CT dataset that published weights were trained on.

    Args:
        about: Of `description`.
        labels: Name -> value, or values of a region.
        training_scans: How many there were; 0 where that is not said.
        further: Keys that only some datasets have, as `regions_class_order`.
    """
    return {
        **about,
        "channel_names": {"0": "CT"},
        "labels": dict(labels),
        **further,
        "numTraining": training_scans,
        "file_ending": ".nii.gz",
    }
