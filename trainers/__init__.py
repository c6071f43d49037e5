"""nnU-Net trainers: the recipe, and one trainer a network over it. nnU-Net finds them by name."""

from __future__ import annotations

from pe_nnunet.trainers.base import PETrainer
from pe_nnunet.trainers.tar_unet import PETARUNetTrainer

__all__ = ["PETARUNetTrainer", "PETrainer"]
