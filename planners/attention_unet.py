"""Plans for Attention U-Net."""

from __future__ import annotations

from pe_nnunet.networks.attention_unet import AttentionUNet
from pe_nnunet.planners.base import PEPlanner


class PEAttentionUNetPlanner(PEPlanner):
    """Attention U-Net with its four poolings."""

    network_class = AttentionUNet
    default_plans_name = "PEAttentionUNetPlans"
    n_poolings = 4
