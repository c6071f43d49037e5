"""The loss that a trainer's recipe asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from pe_nnunet.dataset.dataset_json import pe_channel
from pe_nnunet.losses import AANetLoss, DiceFocalLoss
from pe_nnunet.recipe import TrainingRecipe


def loss_of_one_output(
    recipe: TrainingRecipe, label_manager: Any, labels: dict[str, Any], *, batch_dice: bool, ddp: bool
) -> nn.Module:
    """Dice and focal loss, or AANet's own.

    Args:
        recipe: Which, and its weights.
        label_manager: nnU-Net's, for regions and the ignore label.
        labels: `labels` of the dataset's `dataset.json`.
        batch_dice: Whether Dice takes the batch as one sample.
        ddp: Whether Dice gathers over processes.
    """
    regions, ignore = label_manager.has_regions, label_manager.ignore_label
    if recipe.loss == "aanet":
        return AANetLoss(pe_channel(labels, regions), regions=regions, ignore_label=ignore)
    class_weights = None
    if recipe.focal_pe_weight != 1:
        class_weights = [1.0] * label_manager.num_segmentation_heads
        class_weights[pe_channel(labels, regions)] = recipe.focal_pe_weight
    return DiceFocalLoss(
        regions=regions,
        batch_dice=batch_dice,
        ignore_label=ignore,
        ddp=ddp,
        dice_weight=recipe.dice_weight,
        focal_weight=recipe.focal_weight,
        gamma=recipe.focal_gamma,
        foreground_weight=recipe.focal_foreground_weight,
        class_weights=class_weights,
    )


def deep_supervision_weights(scales: Sequence[Sequence[float]], *, keep_last: bool) -> list[float]:
    """Halved with each further output, a coarser last one without any, as nnU-Net does.

    Args:
        scales: Size of each output as a share of the input's, finest first.
        keep_last: Give the last one next to nothing instead: under DDP each parameter needs a gradient.

    Example:
        >>> deep_supervision_weights([[1.0], [0.5], [0.25]], keep_last=False)
        [0.6666666666666666, 0.3333333333333333, 0.0]
    """
    weights = [0.5**level for level in range(len(scales))]
    if scales[-1] != scales[0]:
        weights[-1] = 1e-6 if keep_last else 0.0
    return [weight / sum(weights) for weight in weights]
