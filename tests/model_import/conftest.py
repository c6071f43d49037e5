"""Duke's model in small: the layouts in which it is released, with random weights."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch import nn

MODEL = "nnUNetTrainer_500epochs__nnUNetResEncUNetPlans_80G__3d_fullres"
PATCH = [16, 32, 32]
SPACING = [1.0, 0.7373045682907104, 0.7373045682907104]
SIZES: dict[str, Any] = {
    "features_per_stage": [4, 6, 8],
    "kernel_sizes": [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [2, 2, 2], [1, 2, 2]],
    "n_blocks_per_stage": [1, 2, 1],
    "n_conv_per_stage_decoder": [1, 1],
    "conv_bias": True,
}


def make_network(seed: int) -> nn.Module:
    """The released network, narrower, with weights under which its outputs vary."""
    torch.manual_seed(seed)
    network = ResidualEncoderUNet(
        input_channels=1,
        n_stages=len(SIZES["features_per_stage"]),
        conv_op=nn.Conv3d,
        num_classes=2,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
        **SIZES,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def released_plans() -> dict[str, Any]:
    """As in its repository, but for the sizes."""
    interpolation = {"order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": "Dataset256_PE",
        "plans_name": "nnUNetResEncUNetPlans_80G",
        "original_median_spacing_after_transp": [2.5, 0.7373045682907104, 0.7373045682907104],
        "original_median_shape_after_transp": [137, 512, 512],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": PATCH,
                "median_image_size_in_voxels": [305.0, 512.0, 514.0],
                "spacing": SPACING,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **interpolation},
                "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **interpolation},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **interpolation},
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
                    "arch_kwargs": {
                        "n_stages": len(SIZES["features_per_stage"]),
                        "conv_op": "torch.nn.modules.conv.Conv3d",
                        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": "torch.nn.LeakyReLU",
                        "nonlin_kwargs": {"inplace": True},
                        **SIZES,
                    },
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
                "batch_dice": False,
            }
        },
        "experiment_planner_used": "nnUNetPlannerResEncXL",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {
                "max": 524.0,
                "mean": 37.060203552246094,
                "median": 47.0,
                "min": -225.0,
                "percentile_00_5": -195.0,
                "percentile_99_5": 305.0,
                "std": 92.34374237060547,
            }
        },
    }


RELEASED_DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "PE": 1},
    "numTraining": 430,
    "file_ending": ".nii.gz",
    "overwrite_image_reader_writer": "SimpleITKIO",
}


def stock_checkpoint(network: nn.Module, fold: int | str) -> dict[str, Any]:
    """Everything that nnU-Net 2's own trainer saves, numpy's scalars among it."""
    optimizer = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.99, nesterov=True)
    return {
        "network_weights": network.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "grad_scaler_state": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 7},
        "logging": {
            "mean_fg_dice": [np.float64(0.61), np.float64(0.65)],
            "ema_fg_dice": [np.float64(0.61), np.float64(0.614)],
            "dice_per_class_or_region": [[np.float32(0.61)], [np.float32(0.65)]],
            "train_losses": [np.float32(-0.4), np.float32(-0.5)],
            "epoch_end_timestamps": [time.time(), time.time()],
        },
        "_best_ema": np.float64(0.614),
        "current_epoch": 500,
        "init_args": {
            "plans": released_plans(),
            "configuration": "3d_fullres",
            "fold": fold,
            "dataset_json": RELEASED_DATASET,
            "device": torch.device("cuda"),
        },
        "trainer_name": "nnUNetTrainer_500epochs",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }


def write_nnunet_layout(where: Path, networks: dict[int | str, nn.Module]) -> Path:
    """The nnU-Net layout; returns the model's folder."""
    folder = where / "Dataset256_PE" / MODEL
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(released_plans()))
    (folder / "dataset.json").write_text(json.dumps(RELEASED_DATASET))
    for fold, network in networks.items():
        (folder / f"fold_{fold}").mkdir()
        torch.save(stock_checkpoint(network, fold), folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def portable_config() -> dict[str, Any]:
    """`config.json` of the portable layout, but for the sizes."""
    return {
        "architectures": ["PulmonaryEmbolismSegmentationModel"],
        "model_type": "pulmonary-embolism-segmentation",
        "input_channels": 1,
        "num_labels": 2,
        "patch_size": PATCH,
        "spacing": SPACING,
        **SIZES,
        "norm_eps": 1e-05,
        "norm_affine": True,
        "leaky_relu_inplace": True,
        "deep_supervision": False,
        "label2id": {"background": 0, "pulmonary_embolism": 1},
        "id2label": {"0": "background", "1": "pulmonary_embolism"},
        "ct_clip_min": -195.0,
        "ct_clip_max": 305.0,
        "ct_mean": 37.060203552246094,
        "ct_std": 92.34374237060547,
    }


def write_portable_layout(folder: Path, weights: dict[str, torch.Tensor], **changes: object) -> Path:
    """`config.json` and `pytorch_model.bin`; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**portable_config(), **changes}))
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders, empty; prediction in float32, to compare."""
    from pe_nnunet import precision

    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    return tmp_path / "nnUNet_results"
