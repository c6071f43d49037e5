"""Plans for TAR-UNet."""

from __future__ import annotations

from pe_nnunet.networks.tar_unet import TARUNet
from pe_nnunet.planners.base import PEPlanner


class PETARUNetPlanner(PEPlanner):
    """TAR-UNet with its three poolings."""

    network_class = TARUNet
    default_plans_name = "PETARUNetPlans"
    n_poolings = 3
