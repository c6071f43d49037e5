"""A trainer of one of our networks, from any plans."""

from __future__ import annotations

from typing import Any, ClassVar

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

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
        network_class = cls.network_class
        path = f"{network_class.__module__}.{network_class.__qualname__}"
        kwargs = configuration_manager.network_arch_init_kwargs
        if configuration_manager.network_arch_class_name != path:
            kwargs = network_class.kwargs_from_plans(kwargs)
        imported = [key for key in configuration_manager.network_arch_init_kwargs_req_import if key in kwargs]
        network: nn.Module = get_network_from_plans(
            path, kwargs, imported, num_input_channels, num_output_channels, deep_supervision=enable_deep_supervision
        )
        return network
