"""Focal loss: cross-entropy that turns away from the voxels that are already right.

Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 5: -alpha_t (1 - p_t)^gamma log(p_t).
Their alpha weighs one foreground class against background; here every foreground class has the weight alpha, times a
weight of its own where classes differ. They divide the sum by the number of anchors that are assigned to an object
(section 4.1), which `per_foreground` does by voxels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_FOREGROUND = 1e-3
"""Share of the voxels that is divided by where less is foreground: about that of a patch that holds emboli."""


def focal_loss_with_labels(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: float = 2.0,
    foreground_weight: float = 0.5,
    class_weights: Tensor | None = None,
    mask: Tensor | None = None,
    voxel_weights: Tensor | None = None,
    per_foreground: bool = False,
) -> Tensor:
    """Focal loss of mutually exclusive classes (softmax).

    Args:
        logits: (batch, classes, ...) with background as class 0.
        labels: (batch, 1, ...) class numbers.
        gamma: Focusing exponent; 0 gives weighted cross-entropy.
        foreground_weight: Weight alpha of a foreground voxel; a background voxel has 1 - alpha.
        class_weights: (classes,) further weight of a voxel by its true class; None is 1 for each.
        mask: (batch, 1, ...) bool, False where a voxel does not count.
        voxel_weights: (batch, 1, ...) or the shape of the labels, a further factor of each value; None is 1 for each.
        per_foreground: Divide the sum by the number of foreground voxels, or `MIN_FOREGROUND` of all where that is
            more, instead of the number of all.

    Returns:
        A scalar; 0 where the mask leaves nothing.
    """
    labels = labels.long()
    log_p = torch.log_softmax(logits, dim=1).gather(1, labels)
    weight = torch.where(labels > 0, foreground_weight, 1 - foreground_weight)
    if class_weights is not None:
        weight = weight * class_weights.to(logits)[labels]
    return _mean(-weight * _focus(log_p, gamma) * log_p, labels > 0, mask, voxel_weights, per_foreground)


def focal_loss_with_regions(
    logits: Tensor,
    regions: Tensor,
    *,
    gamma: float = 2.0,
    foreground_weight: float = 0.5,
    class_weights: Tensor | None = None,
    mask: Tensor | None = None,
    voxel_weights: Tensor | None = None,
    per_foreground: bool = False,
) -> Tensor:
    """Focal loss of regions that may overlap (one sigmoid each).

    Args:
        logits: (batch, regions, ...).
        regions: (batch, regions, ...), 1 inside and 0 outside.
        gamma: Focusing exponent; 0 gives weighted binary cross-entropy.
        foreground_weight: Weight alpha of a voxel inside; outside it is 1 - alpha.
        class_weights: (regions,) further weight of each region; None is 1 for each.
        mask: (batch, 1, ...) bool, False where a voxel does not count.
        voxel_weights: (batch, 1, ...) or the shape of the regions, a further factor of each value; None is 1 for each.
        per_foreground: Divide each region's sum by the number of its foreground voxels, or `MIN_FOREGROUND` of all
            where that is more, instead of the number of all.

    Returns:
        A scalar; 0 where the mask leaves nothing.
    """
    regions = regions.to(logits.dtype)
    log_p = -F.binary_cross_entropy_with_logits(logits, regions, reduction="none")
    weight = regions * foreground_weight + (1 - regions) * (1 - foreground_weight)
    if class_weights is not None:
        weight = weight * class_weights.to(logits).reshape(1, -1, *[1] * (logits.ndim - 2))
    return _mean(-weight * _focus(log_p, gamma) * log_p, regions > 0, mask, voxel_weights, per_foreground)


def _focus(log_p: Tensor, gamma: float) -> Tensor:
    if gamma == 0:
        return torch.ones_like(log_p)
    # 1 - p without cancellation; the floor keeps the gradient of exponents below 1 finite
    return (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny) ** gamma


def _mean(
    loss: Tensor, foreground: Tensor, mask: Tensor | None, voxel_weights: Tensor | None, per_foreground: bool
) -> Tensor:
    if voxel_weights is not None:
        loss = loss * voxel_weights
    if mask is None and not per_foreground:
        return loss.mean()
    mask = torch.ones_like(foreground) if mask is None else mask.expand_as(loss)
    if not per_foreground:
        return (loss * mask).sum() / mask.sum().clamp_min(1)
    axes = [axis for axis in range(loss.ndim) if axis != 1]  # each region by its own foreground
    count = torch.maximum((foreground & mask).sum(axes), MIN_FOREGROUND * mask.sum(axes))
    return ((loss * mask).sum(axes) / count.clamp_min(1)).mean()
