"""nnU-Net trainers: the recipe, and one trainer a network over it. nnU-Net finds them by name."""

from __future__ import annotations

from pe_nnunet.trainers.aanet import PEAANetTrainer
from pe_nnunet.trainers.attention_r2_unet import PEAttentionR2UNetTrainer
from pe_nnunet.trainers.attention_unet import PEAttentionUNetTrainer
from pe_nnunet.trainers.base import PETrainer
from pe_nnunet.trainers.nested_unet import PENestedUNetTrainer
from pe_nnunet.trainers.r2_unet import PER2UNetTrainer
from pe_nnunet.trainers.tar_unet import PETARUNetTrainer

__all__ = [
    "PEAANetTrainer",
    "PEAttentionR2UNetTrainer",
    "PEAttentionUNetTrainer",
    "PENestedUNetTrainer",
    "PER2UNetTrainer",
    "PETARUNetTrainer",
    "PETrainer",
]
