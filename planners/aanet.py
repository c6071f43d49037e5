"""Plans for AANet."""

from __future__ import annotations

from typing import Any

import numpy as np

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.networks import NETWORKS, SegmentationNetwork
from pe_nnunet.networks.aanet import ASPP_FEATURES, HEAD_FEATURES, AANet, default_features
from pe_nnunet.networks.blocks.weight_standardised import CHANNELS_PER_GROUP
from pe_nnunet.planners.base import FloatArray, PEPlanner
from pe_nnunet.planners.topology import Topology

SPACING_MM = (1.0, 1.0, 1.0)
WINDOW_HU = (-100.0, 500.0)


class PEAANetPlanner(PEPlanner):
    """AANet as published: 1 mm isotropic, HU -100..500 scaled to 0..1, 3D alone, arteries and emboli as regions.

    With less memory than 8 GiB all its widths shrink together.
    """

    network_class = AANet
    default_plans_name = NETWORKS["AANet"].plans
    shares_data = False

    def determine_fullres_target_spacing(self) -> FloatArray:
        """1 mm, unless overwritten."""
        return np.array(self.overwrite_target_spacing or SPACING_MM, dtype=float)

    def determine_normalization_scheme_and_whether_mask_is_used_for_norm(self) -> tuple[list[str], list[bool]]:
        """nnU-Net's CT scheme for the first channel, whatever it is called: it clips, shifts and scales."""
        schemes, use_mask = super().determine_normalization_scheme_and_whether_mask_is_used_for_norm()
        return ["CTNormalization", *schemes[1:]], [False, *use_mask[1:]]

    def intensity_properties(self) -> dict[str, Any]:
        """The fingerprint's, but for what the CT scheme reads: clip to the window, subtract, divide."""
        low, high = WINDOW_HU
        window = {"percentile_00_5": low, "percentile_99_5": high, "mean": low, "std": high - low}
        schemes, _ = self.determine_normalization_scheme_and_whether_mask_is_used_for_norm()
        return {
            channel: {**found, **(window if schemes[int(channel)] == "CTNormalization" else {})}
            for channel, found in super().intensity_properties().items()
        }

    def architecture(self, topology: Topology, width: int) -> dict[str, Any]:
        """The plans' description of the network; its norm and activation are its own."""
        n_stages = len(topology.strides)

        def scaled(features: int) -> int:
            return max(1, round(features * width / AANet.max_width / CHANNELS_PER_GROUP)) * CHANNELS_PER_GROUP

        return {
            "network_class_name": f"{self.network_class.__module__}.{self.network_class.__name__}",
            "arch_kwargs": {
                "n_stages": n_stages,
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "features_per_stage": [scaled(features) for features in default_features(n_stages)],
                "kernel_sizes": [list(kernel) for kernel in topology.kernel_sizes],
                "strides": [list(stride) for stride in topology.strides],
                "aspp_features": scaled(ASPP_FEATURES),
                "head_features": scaled(HEAD_FEATURES),
            },
            "_kw_requires_import": ["conv_op"],
        }

    def build_network(self, architecture: dict[str, Any]) -> SegmentationNetwork:
        """The network, if the labels are what its two heads mean.

        Raises:
            ConfigurationError: If the labels are not the regions artery, with the emboli, and PE, in this order.
        """
        check_labels(self.dataset_json)
        return super().build_network(architecture)


def check_labels(dataset_json: dict[str, Any]) -> None:
    """Refuse a dataset whose channels are not artery and pulmonary embolism.

    Raises:
        ConfigurationError: If the labels are not two regions of which the first contains the second.
    """
    labels = {name: value for name, value in dataset_json["labels"].items() if name not in ("background", "ignore")}
    values = [set(value) if isinstance(value, list) else {value} for value in labels.values()]
    if len(values) != 2 or not dataset_json.get("regions_class_order") or not values[1] < values[0]:
        raise ConfigurationError(
            "PE-PLN-003",
            f"AANet needs the regions artery [1, 2] and PE 2, in this order, the dataset's labels are {labels}",
            "convert with --scheme artery-pe",
        )
