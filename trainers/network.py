"""A trainer of one of our networks, from any plans."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from pe_nnunet.architecture import build_network
from pe_nnunet.networks import SegmentationNetwork
from pe_nnunet.trainers.base import PETrainer


class NetworkTrainer(PETrainer):
    """Trains the network that a subclass names, from its own plans or with the stages of any others."""

    network_class: ClassVar[type[SegmentationNetwork]]

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: Any,  # noqa: ARG003 - nnU-Net's signature
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The network with the plans' stages, widths, strides and kernels.

        Args:
            plans_manager: Not used.
            configuration_manager: nnU-Net's, for the configuration; plans made for another network are translated by
                the network's `kwargs_from_plans`.
            num_input_channels: Image channels.
            num_output_channels: Segmentation heads.
            enable_deep_supervision: Whether forward returns a list of outputs.

        Returns:
            The network, initialised.
        """
        return build_network(
            cls.network_class,
            configuration_manager,
            num_input_channels,
            num_output_channels,
            deep_supervision=enable_deep_supervision,
        )
