"""TAR-UNet under the recipe."""

from __future__ import annotations

from typing import Any

from torch import nn

from pe_nnunet.networks import TARUNet
from pe_nnunet.trainers.base import PETrainer
from pe_nnunet.trainers.network import build_from_plans


class PETARUNetTrainer(PETrainer):
    """Trains TAR-UNet, from `PETARUNetPlans` or with the stages of any other plans, `nnUNetPlans` included."""

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,  # noqa: ARG004 - nnU-Net's signature
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """TAR-UNet of the plans' stages, widths, strides and kernels."""
        return build_from_plans(
            TARUNet, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
        )
