"""Whether a network can be trained by a configuration of plans: edited by hand, lengths and sizes part easily."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.dataset.channels import channel_names
from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.errors.near import did_you_mean

PER_STAGE = {  # lists in a plan's arch_kwargs, and how many fewer entries than stages they have
    "features_per_stage": 0,
    "kernel_sizes": 0,
    "strides": 0,
    "n_conv_per_stage": 0,
    "n_blocks_per_stage": 0,
    "n_conv_per_stage_decoder": 1,
    "units": 0,
    "recurrence": 0,
}


def require_configuration(plans: Mapping[str, Any], configuration: str) -> None:
    """Refuse a configuration that the plans do not have.

    Raises:
        ConfigurationError: PE-TRAIN-019.
    """
    there = list(plans["configurations"])
    if configuration not in there:
        raise ConfigurationError(
            "PE-TRAIN-019",
            f"{plans['plans_name']} has no configuration {configuration}",
            did_you_mean(configuration, there, f"there: {', '.join(there)}"),
        )


def check_plans(plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> None:
    """Refuse a configuration whose numbers do not fit together.

    Args:
        plans: nnU-Net's, as read.
        configuration: The name of one in them.
        dataset_json: The dataset's `dataset.json`.

    Raises:
        ConfigurationError: PE-TRAIN-018, which names the first thing that is wrong, or that it is a cascade.
    """
    settings = PlansManager(plans).get_configuration(configuration).configuration
    before = settings.get("previous_stage")
    if before is not None:
        raise ConfigurationError(
            "PE-TRAIN-018",
            f"{configuration} of {plans['plans_name']} works on what a model of {before} has predicted",
            "our trainers read images alone: train a configuration without previous_stage",
        )
    problem = what_is_wrong(settings, len(channel_names(dataset_json)))
    if problem is not None:
        raise _refused(plans, configuration, problem)


def what_is_wrong(settings: Mapping[str, Any], n_channels: int) -> str | None:
    """The first number of a configuration that does not fit the others, or None.

    Args:
        settings: The configuration, with what it inherits.
        n_channels: Of the images.
    """
    patch: Any = settings.get("patch_size")
    spacing: Any = settings.get("spacing")
    if not _is_list_of(patch, _is_count) or len(patch) not in (2, 3):
        return f"patch_size is {patch}, expected two or three whole numbers from 1 on"
    if not _is_count(settings.get("batch_size")):
        return f"batch_size is {settings.get('batch_size')}, expected a whole number from 1 on"
    if not _is_list_of(spacing, _is_length) or len(spacing) != len(patch):
        return f"spacing is {spacing}, expected {len(patch)} positive numbers, as patch_size has"
    for name in ("normalization_schemes", "use_mask_for_norm"):
        given = settings.get(name)
        if not isinstance(given, list) or len(given) != n_channels:
            return f"{name} is {given}, expected one entry for each of {n_channels} channel(s) of dataset.json"
    kwargs = settings.get("architecture", {}).get("arch_kwargs", {})
    return _wrong_stages(kwargs, patch) if kwargs else None


def _wrong_stages(kwargs: Mapping[str, Any], patch: list[int]) -> str | None:
    n_stages: Any = kwargs.get("n_stages")
    if not _is_count(n_stages):
        return f"n_stages is {n_stages}, expected a whole number"
    for name, fewer in PER_STAGE.items():
        given = kwargs.get(name)
        if isinstance(given, list) and len(given) != n_stages - fewer:
            return f"{name} has {len(given)} entries, expected {n_stages - fewer} for {n_stages} stages"
    strides = kwargs.get("strides")
    if not isinstance(strides, list):
        return None
    steps = [[step] * len(patch) if _is_count(step) else step for step in strides]
    if not all(_is_list_of(step, _is_count) and len(step) == len(patch) for step in steps):
        return f"strides are {strides}, expected {len(patch)} whole numbers a stage, as patch_size has"
    divisor = [math.prod(axis) for axis in zip(*steps, strict=True)]
    if any(side % d for side, d in zip(patch, divisor, strict=True)):
        fitting = [max(d, round(side / d) * d) for side, d in zip(patch, divisor, strict=True)]
        return f"patch_size {patch} is not divided by the strides, together {divisor}; {fitting} is"
    if list(patch) == divisor:
        return f"of a patch of {patch} the strides, together {divisor}, leave one voxel: instance norms make it zero"
    return None


def check_network(trainer: Any, plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> None:
    """Build the network without memory or time for its weights, and let a patch of no content pass through it.

    Args:
        trainer: The class.
        plans: nnU-Net's, as read.
        configuration: The name of one in them.
        dataset_json: The dataset's `dataset.json`.

    Raises:
        ConfigurationError: PE-TRAIN-018, with what the network or torch says of it.
    """
    manager = PlansManager(plans)
    chosen = manager.get_configuration(configuration)
    channels = len(channel_names(dataset_json))
    heads = manager.get_label_manager(dataset_json).num_segmentation_heads
    try:
        with torch.device("meta"), torch.no_grad():
            network = trainer.build_network_architecture(manager, chosen, channels, heads, True)
            network(torch.zeros(1, channels, *chosen.patch_size))
    except PEError:
        raise
    except Exception as error:
        raise _refused(plans, configuration, f"no network comes of them: {type(error).__name__}: {error}") from error


def _refused(plans: Mapping[str, Any], configuration: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "PE-TRAIN-018",
        f"{plans['plans_name']}, {configuration}: {problem}",
        f"correct {plans['plans_name']}.json, or plan again",
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_length(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _is_list_of(values: Any, test: Any) -> bool:
    return isinstance(values, (list, tuple)) and all(map(test, values))
