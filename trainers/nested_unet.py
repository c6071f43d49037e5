"""Nested U-Net under the recipe."""

from __future__ import annotations

from pe_nnunet.networks import NestedUNet
from pe_nnunet.trainers.network import NetworkTrainer


class PENestedUNetTrainer(NetworkTrainer):
    """Trains Nested U-Net, from `PENestedUNetPlans` or any other plans, `nnUNetPlans` included."""

    network_class = NestedUNet
