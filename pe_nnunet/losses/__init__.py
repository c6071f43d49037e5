"""Losses for targets that fill a thousandth of a patch."""

from __future__ import annotations

from pe_nnunet.losses.aanet import AANetLoss
from pe_nnunet.losses.dice_focal import DiceFocalLoss
from pe_nnunet.losses.focal import focal_loss_with_labels, focal_loss_with_regions

__all__ = ["AANetLoss", "DiceFocalLoss", "focal_loss_with_labels", "focal_loss_with_regions"]
