"""Plans under which nnU-Net does what AANet's authors do before and after their network."""

from __future__ import annotations

from typing import Any

from torch import nn

from pe_nnunet.inference.plan_numbers import INTENSITIES
from pe_nnunet.model_import.content import CONFIGURATION
from pe_nnunet.networks.aanet import AANet
from pe_nnunet.planners.aanet import SPACING_MM, WINDOW_HU, PEAANetPlanner

PATCH_SIZE = (128, 128, 128)
PLANS = PEAANetPlanner.default_plans_name
LABELS = {"background": 0, "artery": [1, 2], "PE": 2}  # in this order: artery is the network's first channel
REGIONS_CLASS_ORDER = [1, 2]
RESAMPLING = "resample_data_or_seg_to_shape"
TRILINEAR = {"order": 1, "order_z": 1, "force_separate_z": False}


def published_plans(network: AANet, dataset_name: str) -> dict[str, Any]:
    """nnU-Net's plans for AANet's published weights.

    1 mm isotropic, trilinear; HU clipped to the window and scaled to 0..1. nnU-Net's CT scheme clips to percentiles,
    subtracts a mean and divides by a standard deviation: the plans say what those are, so it does just that.

    Args:
        network: With the weights; its sizes go into the plans.
        dataset_name: `DatasetXXX_Name`.
    """
    low, high = WINDOW_HU
    window = {"percentile_00_5": low, "percentile_99_5": high, "mean": low, "std": high - low}
    return {
        "dataset_name": dataset_name,
        "plans_name": PLANS,
        "original_median_spacing_after_transp": list(SPACING_MM),
        "original_median_shape_after_transp": list(PATCH_SIZE),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            CONFIGURATION: {
                "data_identifier": f"{PLANS}_{CONFIGURATION}",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(PATCH_SIZE),
                "median_image_size_in_voxels": [float(n) for n in PATCH_SIZE],
                "spacing": list(SPACING_MM),
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": RESAMPLING,
                "resampling_fn_data_kwargs": {"is_seg": False, **TRILINEAR},
                "resampling_fn_seg": RESAMPLING,
                "resampling_fn_seg_kwargs": {"is_seg": True, **TRILINEAR},
                "resampling_fn_probabilities": "resample_torch_fornnunet",
                "resampling_fn_probabilities_kwargs": {
                    "is_seg": False,
                    "force_separate_z": False,
                    "memefficient_seg_resampling": False,
                },
                "architecture": architecture(network),
                "batch_dice": True,
            }
        },
        "experiment_planner_used": PEAANetPlanner.__name__,
        "label_manager": "LabelManager",
        INTENSITIES: {"0": {**window, "median": low, "min": low, "max": high}},
    }


def architecture(network: AANet) -> dict[str, Any]:
    """The plans' description of a network: class and sizes."""
    encoder, decoder = network.encoder, network.decoder
    weights = network.state_dict()
    first = ["stem", *(f"stages.{i}.0.first" for i in range(len(encoder.stages)))]
    return {
        "network_class_name": f"{AANet.__module__}.{AANet.__name__}",
        "arch_kwargs": {
            "n_stages": len(encoder.features),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "features_per_stage": list(encoder.features),
            "kernel_sizes": [list(weights[f"encoder.{name}.conv.weight"].shape[2:]) for name in first],
            "strides": [list(stride) for stride in network.strides],
            "encoder_blocks": [_count(stage) for stage in encoder.stages],
            "decoder_blocks": [_count(level.get_submodule("blocks")) for level in reversed(decoder.levels)],
            "aspp_features": decoder.aspp_features,
            "head_features": decoder.head_features,
        },
        "_kw_requires_import": ["conv_op"],
    }


def _count(blocks: nn.Module) -> int:
    return sum(1 for _ in blocks.children())
