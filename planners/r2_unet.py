"""Plans for R2U-Net."""

from __future__ import annotations

from pe_nnunet.networks.r2_unet import R2UNet
from pe_nnunet.planners.base import PEPlanner


class PER2UNetPlanner(PEPlanner):
    """R2U-Net with its four poolings."""

    network_class = R2UNet
    default_plans_name = "PER2UNetPlans"
    n_poolings = 4
