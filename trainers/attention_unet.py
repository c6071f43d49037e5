"""Attention U-Net under the recipe."""

from __future__ import annotations

from pe_nnunet.networks import AttentionUNet
from pe_nnunet.trainers.network import NetworkTrainer


class PEAttentionUNetTrainer(NetworkTrainer):
    """Trains Attention U-Net, from `PEAttentionUNetPlans` or any other plans, `nnUNetPlans` included."""

    network_class = AttentionUNet
