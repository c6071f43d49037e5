"""Dice plus focal loss, for exclusive labels and for regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.utilities.helpers import softmax_helper_dim1
from torch import Tensor, nn

from pe_nnunet.losses.embolus_weights import embolus_weights
from pe_nnunet.losses.focal import focal_loss_with_labels, focal_loss_with_regions


class DiceFocalLoss(nn.Module):
    """Weighted sum of nnU-Net's soft Dice loss (from -1, perfect, to 0) and the focal loss.

    Dice sees the overlap whatever the size of the target; focal sees each voxel, so that a patch without a target still
    says what is wrong. The sum is computed in float32 whatever the precision of the logits.

    Args:
        regions: Whether targets are regions (sigmoid) instead of labels (softmax).
        batch_dice: Whether Dice is taken over the batch as one sample.
        ignore_label: The label that does not count, if any; under regions it is the target's last channel.
        ddp: Whether Dice gathers over the processes of a distributed training.
        dice_weight: Weight of the Dice loss.
        focal_weight: Weight of the focal loss.
        gamma: Focusing exponent.
        foreground_weight: Weight alpha of foreground voxels.
        class_weights: Further weights in the focal loss, of classes (background first) or regions; None is 1 for each.
        focal_per_foreground: Whether the focal loss is divided by the foreground's voxels instead of all.
        pe_channel: The output channel of PE, whose emboli are weighted.
        embolus_weight_power: How much more a voxel of a small embolus weighs in both losses; 0 is not at all.
    """

    def __init__(
        self,
        *,
        regions: bool = False,
        batch_dice: bool = True,
        ignore_label: int | None = None,
        ddp: bool = False,
        dice_weight: float = 1.0,
        focal_weight: float = 1.0,
        gamma: float = 2.0,
        foreground_weight: float = 0.75,
        class_weights: Sequence[float] | None = None,
        focal_per_foreground: bool = False,
        pe_channel: int = 1,
        embolus_weight_power: float = 0.0,
    ) -> None:
        super().__init__()
        self.regions = regions
        self.ignore_label = ignore_label
        self.dice_weight = dice_weight
        self.focal_weight = focal_weight
        self.gamma = gamma
        self.foreground_weight = foreground_weight
        self.focal_per_foreground = focal_per_foreground
        self.pe_channel = pe_channel
        self.embolus_weight_power = embolus_weight_power
        self.class_weights = None if class_weights is None else torch.tensor(class_weights)
        # `dc` is the name by which nnU-Net compiles it
        self.dc = MemoryEfficientSoftDiceLoss(
            apply_nonlin=torch.sigmoid if regions else softmax_helper_dim1,
            batch_dice=batch_dice,
            do_bg=regions,  # under regions channel 0 is a region, not background
            smooth=1e-5,
            ddp=ddp,
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of one output.

        Args:
            logits: (batch, classes or regions, ...).
            target: (batch, 1, ...) labels, or (batch, regions [+ 1 for ignore], ...).

        Returns:
            A scalar.
        """
        logits = logits.float()
        mask: Tensor | None = None
        if self.ignore_label is not None:
            if self.regions:
                mask, target = target[:, -1:] == 0, target[:, :-1]
            else:
                mask = target != self.ignore_label
                target = torch.where(mask, target, 0)
        weights = self._weights(target, mask) if self.embolus_weight_power else None
        focal = focal_loss_with_regions if self.regions else focal_loss_with_labels
        loss = self.focal_weight * focal(
            logits,
            target,
            gamma=self.gamma,
            foreground_weight=self.foreground_weight,
            class_weights=self.class_weights,
            mask=mask,
            voxel_weights=weights,
            per_foreground=self.focal_per_foreground,
        )
        if self.dice_weight:
            counted = weights if mask is None else mask if weights is None else weights * mask
            loss = loss + self.dice_weight * self.dc(logits, target, loss_mask=counted)
        return loss

    def _weights(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Of each voxel (batch, 1, ...); under regions (batch, regions, ...), as emboli are those of one region."""
        pe = target[:, self.pe_channel] > 0 if self.regions else target[:, 0] == self.pe_channel
        weights = embolus_weights(pe if mask is None else pe & mask[:, 0], self.embolus_weight_power)[:, None]
        if not self.regions:
            return weights
        ones = torch.ones_like(target, dtype=weights.dtype)
        ones[:, self.pe_channel] = weights[:, 0]
        return ones
