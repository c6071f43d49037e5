"""Losses for targets that fill a thousandth of a patch."""

from __future__ import annotations

from pe_nnunet.losses.dice_focal import DiceFocalLoss
from pe_nnunet.losses.focal import focal_loss_with_labels, focal_loss_with_regions
from pe_nnunet.losses.tversky import AANetLoss

__all__ = ["AANetLoss", "DiceFocalLoss", "focal_loss_with_labels", "focal_loss_with_regions"]
