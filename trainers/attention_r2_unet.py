"""Attention R2U-Net under the recipe."""

from __future__ import annotations

from pe_nnunet.networks import AttentionR2UNet
from pe_nnunet.trainers.network import NetworkTrainer


class PEAttentionR2UNetTrainer(NetworkTrainer):
    """Trains Attention R2U-Net, from `PEAttentionR2UNetPlans` or any other plans, `nnUNetPlans` included."""

    network_class = AttentionR2UNet
