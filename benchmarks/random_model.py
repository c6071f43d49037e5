"""Model folders as nnU-Net writes them, with random weights: times do not depend on weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAIN_UNET, TAR_UNET = "PlainConvUNet", "TARUNet"
MODULES = {PLAIN_UNET: "dynamic_network_architectures.architectures.unet", TAR_UNET: "pe_nnunet.networks.tar_unet"}
TRAINERS = {PLAIN_UNET: "nnUNetTrainer", TAR_UNET: "PETARUNetTrainer"}


@dataclass(frozen=True)
class Size:
    """Of a network: channels per stage, patch (z, y, x) and voxel edge."""

    features: tuple[int, ...]
    patch: tuple[int, int, int]
    spacing_mm: float


USUAL, QUICK = Size((16, 32, 64, 128), (96,) * 3, 1.5), Size((16, 32), (32,) * 3, 4.0)


def architecture(network: str, features: Sequence[int]) -> dict[str, Any]:
    """As in plans: nnU-Net's plain U-Net, or TAR-UNet in its light form."""
    levels = len(features)
    kwargs: dict[str, Any] = {
        "n_stages": levels,
        "features_per_stage": list(features),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * levels,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (levels - 1)],
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    if network == PLAIN_UNET:
        kwargs |= {"n_conv_per_stage": [2] * levels, "n_conv_per_stage_decoder": [2] * (levels - 1), "conv_bias": True}
        kwargs |= {"dropout_op": None, "dropout_op_kwargs": None}
    else:
        kwargs |= {"units": [1, *[2] * (levels - 1)], "recurrence": 0}
    return {
        "network_class_name": f"{MODULES[network]}.{network}",
        "arch_kwargs": kwargs,
        "_kw_requires_import": [name for name in ("conv_op", "norm_op", "dropout_op", "nonlin") if name in kwargs],
    }


def random_model(folder: Path, size: Size, network: str = PLAIN_UNET) -> Path:
    """Write a model of one fold for voxels of that size; returns its folder, one within `folder`."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    trainer = TRAINERS[network]
    folder = folder / f"{trainer}__{trainer.replace('Trainer', 'Plans')}__3d_fullres"
    arch = architecture(network, size.features)
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans(size, arch)))
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}, "numTraining": 1}
    (folder / "dataset.json").write_text(json.dumps({**dataset, "file_ending": ".nii.gz"}))
    torch.manual_seed(0)
    made = get_network_from_plans(*arch.values(), 1, 2, deep_supervision=False)
    with torch.no_grad():
        made.decoder.seg_layers[-1].bias[1] -= 6  # few findings, as in life: noise would cost time after the network
    checkpoint = {
        "network_weights": made.state_dict(),
        "trainer_name": trainer,
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def plans(size: Size, arch: dict[str, Any]) -> dict[str, Any]:
    """nnU-Net's, for CT."""
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    function = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(size.patch),
        "median_image_size_in_voxels": [200, 200, 200],
        "spacing": [size.spacing_mm] * 3,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": function,
        "resampling_fn_data_kwargs": {**resampling, "order": 3},
        "resampling_fn_seg": function,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": function,
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": arch,
        "batch_dice": False,
    }
    properties = {"mean": 50.0, "std": 250.0, "percentile_00_5": -900.0, "percentile_99_5": 700.0}
    return {
        "dataset_name": "Dataset501_PE",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0] * 3,
        "original_median_shape_after_transp": [200] * 3,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {**properties, "min": -1000, "max": 1000, "median": 50}},
        "configurations": {"3d_fullres": configuration},
    }
