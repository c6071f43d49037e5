"""The network that a trainer trains, built from its plans without importing the trainer.

nnU-Net's trainer imports torch's compiler, scikit-learn and seaborn: time and memory that prediction has no use for.
Where a trainer's network is known here, prediction builds it without.
"""

from __future__ import annotations

from typing import Any

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.named_classes import check_architecture
from pe_nnunet.networks import NETWORKS, NetworkEntry, SegmentationNetwork

EPOCHS = (5, 10, 20, 50, 100, 250, 500, 750, 2000, 4000, 8000)  # nnU-Net's trainers that differ in nothing else
NETWORK_OF_TRAINER: dict[str, NetworkEntry | None] = {
    **dict.fromkeys(("nnUNetTrainer", *(f"nnUNetTrainer_{epochs}epochs" for epochs in EPOCHS), "PETrainer")),
    **{entry.trainer: entry for entry in NETWORKS.values()},
}
"""None: the plans' own."""


def build_network(
    network_class: type[SegmentationNetwork] | None,
    configuration_manager: Any,
    num_input_channels: int,
    num_output_channels: int,
    *,
    deep_supervision: bool,
) -> nn.Module:
    """A network with the plans' stages, widths, strides and kernels.

    Args:
        network_class: Of ours; plans made for another network are translated by its `kwargs_from_plans`. None: that of
            the plans.
        configuration_manager: nnU-Net's, for the configuration.
        num_input_channels: Image channels.
        num_output_channels: Segmentation heads.
        deep_supervision: Whether forward returns a list of outputs.

    Returns:
        The network, initialised.

    Raises:
        ConfigurationError: PE-MODEL-020 if the plans name what is no part of a network.
    """
    check_architecture(configuration_manager.configuration["architecture"], "the plans")
    path = configuration_manager.network_arch_class_name
    kwargs = configuration_manager.network_arch_init_kwargs
    if network_class is not None and path != (own := f"{network_class.__module__}.{network_class.__qualname__}"):
        path, kwargs = own, network_class.kwargs_from_plans(kwargs)
    imported = [key for key in configuration_manager.network_arch_init_kwargs_req_import if key in kwargs]
    network: nn.Module = get_network_from_plans(
        path, kwargs, imported, num_input_channels, num_output_channels, deep_supervision=deep_supervision
    )
    return network


def network_of_trainer(
    trainer: str, plans_manager: Any, configuration_manager: Any, num_input_channels: int, num_output_channels: int
) -> nn.Module:
    """The network that a trainer of that name trains, without deep supervision.

    Args:
        trainer: nnU-Net's, one of ours, or any other that nnU-Net finds.
        plans_manager: nnU-Net's.
        configuration_manager: nnU-Net's, for the configuration.
        num_input_channels: Image channels.
        num_output_channels: Segmentation heads.

    Raises:
        ConfigurationError: PE-MODEL-020 if the plans name what is no part of a network; PE-MODEL-003 if nnU-Net finds
            no trainer of that name.
    """
    if trainer in NETWORK_OF_TRAINER:
        entry = NETWORK_OF_TRAINER[trainer]
        return build_network(
            None if entry is None else entry.load(),
            configuration_manager,
            num_input_channels,
            num_output_channels,
            deep_supervision=False,
        )
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:
        found = recursive_find_trainer_class_by_name(trainer)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigurationError(
            "PE-MODEL-003", f"nnU-Net finds no trainer {trainer!r}", "install the package that it is from"
        ) from error
    network: nn.Module = found.build_network_architecture(
        plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision=False
    )
    return network
