"""Plans for Attention R2U-Net."""

from __future__ import annotations

from pe_nnunet.networks.attention_r2_unet import AttentionR2UNet
from pe_nnunet.planners.base import PEPlanner


class PEAttentionR2UNetPlanner(PEPlanner):
    """Attention R2U-Net with its four poolings."""

    network_class = AttentionR2UNet
    default_plans_name = "PEAttentionR2UNetPlans"
    n_poolings = 4
