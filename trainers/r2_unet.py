"""R2U-Net under the recipe."""

from __future__ import annotations

from pe_nnunet.networks import R2UNet
from pe_nnunet.trainers.network import NetworkTrainer


class PER2UNetTrainer(NetworkTrainer):
    """Trains R2U-Net, from `PER2UNetPlans` or any other plans, `nnUNetPlans` included."""

    network_class = R2UNet
