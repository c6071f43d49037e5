"""One of our networks from any plans."""

from __future__ import annotations

from typing import Any

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn


def build_from_plans(
    network_class: Any,
    configuration_manager: Any,
    num_input_channels: int,
    num_output_channels: int,
    enable_deep_supervision: bool,
) -> nn.Module:
    """Build a network with the topology that the plans hold.

    Args:
        network_class: A class of `pe_nnunet.networks`; plans made for another network are translated by its
            `kwargs_from_plans`.
        configuration_manager: nnU-Net's, for the configuration.
        num_input_channels: Image channels.
        num_output_channels: Segmentation heads.
        enable_deep_supervision: Whether forward returns a list of outputs.

    Returns:
        The network, initialised.
    """
    path = f"{network_class.__module__}.{network_class.__qualname__}"
    kwargs = configuration_manager.network_arch_init_kwargs
    if configuration_manager.network_arch_class_name != path:
        kwargs = network_class.kwargs_from_plans(kwargs)
    imported = [key for key in configuration_manager.network_arch_init_kwargs_req_import if key in kwargs]
    network: nn.Module = get_network_from_plans(
        path, kwargs, imported, num_input_channels, num_output_channels, deep_supervision=enable_deep_supervision
    )
    return network
