"""Plans for Nested U-Net."""

from __future__ import annotations

from pe_nnunet.networks.nested_unet import NestedUNet
from pe_nnunet.planners.base import PEPlanner


class PENestedUNetPlanner(PEPlanner):
    """Nested U-Net with its four poolings."""

    network_class = NestedUNet
    default_plans_name = "PENestedUNetPlans"
    n_poolings = 4
