"""TAR-UNet under the recipe."""

from __future__ import annotations

from pe_nnunet.networks import TARUNet
from pe_nnunet.trainers.network import NetworkTrainer


class PETARUNetTrainer(NetworkTrainer):
    """Trains TAR-UNet, from `PETARUNetPlans` or any other plans, `nnUNetPlans` included."""

    network_class = TARUNet
