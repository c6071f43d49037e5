"""nnU-Net's plans from the `config.json` of Duke's portable layout."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from pe_nnunet.architecture import network_of_trainer
from pe_nnunet.dataset.dataset_json import means_pe
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.inference.plan_numbers import INTENSITIES, MOST_VOXELS, require_possible_numbers
from pe_nnunet.inference.published import PUBLISHED
from pe_nnunet.model_import.content import CONFIGURATION

CONFIG = "config.json"
TRAINER, PLANS, _ = PUBLISHED["duke"].model.split("__")
LABELS = {"background": 0, "PE": 1}
TRAINING_SCANS = 430
AXES = 3
MOST_STAGES, MOST_BLOCKS, MOST_FEATURES, LARGEST_STEP = 12, 64, 4096, 32  # beyond these no network fits a machine
RESAMPLING = {f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg", "probabilities")}
_INTERPOLATION = {"order_z": 0, "force_separate_z": None}


def read_config(path: Path) -> dict[str, Any]:
    """The content of a `config.json`, checked as far as plans are made of it.

    Args:
        path: The file.

    Raises:
        ConfigurationError: PE-MODEL-022 if it cannot be read, or has no or impossible values.
    """
    try:
        config = read_object(path)
        _require_sizes(config)
        _require_pe(config)
        low, high, sd = (float(config[key]) for key in ("ct_clip_min", "ct_clip_max", "ct_std"))
        if not (low < high and sd > 0 and math.isfinite(float(config["ct_mean"]))):
            raise ValueError(f"its HU window is {low:g} to {high:g}, its standard deviation {sd:g}")
    except MALFORMED as error:
        raise ConfigurationError("PE-MODEL-022", f"{path} cannot be used: {why(error)}", "fetch it again") from error
    return config


def portable_plans(config: dict[str, Any], dataset_name: str) -> dict[str, Any]:
    """nnU-Net's plans for a network that a configuration describes, preprocessed as the released plans say.

    Args:
        config: From `read_config`.
        dataset_name: `DatasetXXX_Name`.
    """
    patch, spacing = list(config["patch_size"]), [float(mm) for mm in config["spacing"]]
    window = {"percentile_00_5": config["ct_clip_min"], "percentile_99_5": config["ct_clip_max"]}
    middle = {"mean": config["ct_mean"], "std": config["ct_std"], "median": config["ct_mean"]}
    return {
        "dataset_name": dataset_name,
        "plans_name": PLANS,
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": patch,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            CONFIGURATION: {
                "data_identifier": f"{PLANS}_{CONFIGURATION}",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": patch,
                "median_image_size_in_voxels": [float(n) for n in patch],
                "spacing": spacing,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **RESAMPLING,
                "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **_INTERPOLATION},
                "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **_INTERPOLATION},
                "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **_INTERPOLATION},
                "architecture": _architecture(config),
                "batch_dice": False,
            }
        },
        "experiment_planner_used": "nnUNetPlannerResEncXL",
        "label_manager": "LabelManager",
        INTENSITIES: {"0": {**window, **middle, "min": config["ct_clip_min"], "max": config["ct_clip_max"]}},
    }


def network_of(plans: dict[str, Any], source: Path) -> nn.Module:
    """The network that plans describe.

    Args:
        plans: From `portable_plans`.
        source: Of the configuration, for the message.

    Raises:
        ConfigurationError: PE-MODEL-022 if they describe none.
    """
    manager = PlansManager(plans)
    configuration = manager.get_configuration(CONFIGURATION)
    try:
        require_possible_numbers(plans, configuration.configuration)
        return network_of_trainer(TRAINER, manager, configuration, 1, len(LABELS))
    except Exception as error:  # the network's own checks raise whatever sizes of other kinds make them
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigurationError(
            "PE-MODEL-022", f"{source} describes no network ({reason})", "fetch it again"
        ) from error


def _architecture(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
        "arch_kwargs": {
            "n_stages": len(config["features_per_stage"]),
            "features_per_stage": config["features_per_stage"],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": config["kernel_sizes"],
            "strides": config["strides"],
            "n_blocks_per_stage": config["n_blocks_per_stage"],
            "n_conv_per_stage_decoder": config["n_conv_per_stage_decoder"],
            "conv_bias": config["conv_bias"],
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": config["norm_eps"], "affine": config["norm_affine"]},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _require_sizes(config: dict[str, Any]) -> None:
    """Check every number that the network is built of, before anything is built."""
    features = config["features_per_stage"]
    stages = len(features)
    if not 2 <= stages <= MOST_STAGES:
        raise ValueError(f"it has {stages} stages, expected 2 to {MOST_STAGES}")
    for name, most, values, count in (
        ("features_per_stage", MOST_FEATURES, features, stages),
        ("patch_size", MOST_VOXELS, config["patch_size"], AXES),
        ("n_blocks_per_stage", MOST_BLOCKS, config["n_blocks_per_stage"], stages),
        ("n_conv_per_stage_decoder", MOST_BLOCKS, config["n_conv_per_stage_decoder"], stages - 1),
        *(
            ("kernel_sizes", LARGEST_STEP, sides, AXES)
            for sides in _each(config["kernel_sizes"], stages, "kernel_sizes")
        ),
        *(("strides", LARGEST_STEP, sides, AXES) for sides in _each(config["strides"], stages, "strides")),
    ):
        if len(values) != count or not all(type(n) is int and 1 <= n <= most for n in values):
            raise ValueError(f"{name} holds {values}, expected {count} whole numbers of 1 to {most}")
    halved = [math.prod(step) for step in zip(*config["strides"], strict=True)]
    if any(side % step for side, step in zip(config["patch_size"], halved, strict=True)):
        raise ValueError(f"its patch_size {config['patch_size']} is not divisible by the strides together, {halved}")
    if len(config["spacing"]) != AXES or not all(isinstance(mm, (int, float)) for mm in config["spacing"]):
        raise ValueError(f"spacing holds {config['spacing']}, expected {AXES} numbers")
    if config["input_channels"] != 1:
        raise ValueError(f"it is for {config['input_channels']} image channels, expected 1, CT")
    for name in ("conv_bias", "norm_affine"):
        if type(config[name]) is not bool:
            raise ValueError(f"{name} is {config[name]!r}, expected true or false")
    if not (isinstance(config["norm_eps"], float) and 0 < config["norm_eps"] < 1):
        raise ValueError(f"norm_eps is {config['norm_eps']!r}, expected more than 0 and less than 1")


def _each(values: Any, count: int, name: str) -> list[Any]:
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries, expected {count}, one a stage")
    return list(values)


def _require_pe(config: dict[str, Any]) -> None:
    """Check that there are two outputs, and that the second is PE."""
    names = config["label2id"]
    second = [name for name, value in names.items() if value == 1]
    if config["num_labels"] != len(LABELS) or len(names) != len(LABELS) or len(second) != 1 or not means_pe(second[0]):
        raise ValueError(f"its labels are {names}, expected background 0 and pulmonary_embolism 1")
