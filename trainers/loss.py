"""The loss that a recipe asks for, and segmentation heads that start where the focal loss needs them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import nn

from pe_nnunet.dataset.dataset_json import pe_channel
from pe_nnunet.losses import AANetLoss, DiceFocalLoss

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer


def build_loss(trainer: PETrainer) -> nn.Module:
    """Dice and focal loss, or AANet's own, over all outputs of the network under deep supervision.

    Args:
        trainer: Whose recipe says which and how weighted; its network is built.
    """
    recipe, manager = trainer.recipe, trainer.label_manager
    regions, ignore = manager.has_regions, manager.ignore_label
    channel = pe_channel(trainer.dataset_json["labels"], regions)
    compiled = trainer._do_i_compile()
    loss: nn.Module
    if recipe.loss == "aanet":
        loss = AANetLoss(channel, regions=regions, ignore_label=ignore)
    else:
        class_weights = None
        if recipe.focal_pe_weight != 1:
            class_weights = [1.0] * manager.num_segmentation_heads
            class_weights[channel] = recipe.focal_pe_weight
        loss = DiceFocalLoss(
            regions=regions,
            batch_dice=trainer.configuration_manager.batch_dice,
            ignore_label=ignore,
            ddp=trainer.is_ddp,
            dice_weight=recipe.dice_weight,
            focal_weight=recipe.focal_weight,
            gamma=recipe.focal_gamma,
            foreground_weight=recipe.focal_foreground_weight,
            class_weights=class_weights,
            focal_per_foreground=recipe.focal_mean == "foreground",
            pe_channel=channel,
            embolus_weight_power=recipe.embolus_weight_power,
        )
        if compiled:
            loss.dc = torch.compile(loss.dc)
    if not trainer.enable_deep_supervision:
        return loss
    weights = deep_supervision_weights(
        trainer._get_deep_supervision_scales(), keep_last=trainer.is_ddp and not compiled
    )
    wrapped: nn.Module = DeepSupervisionWrapper(loss, weights)
    return wrapped


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


def initialise_heads(network: nn.Module, probability: float, regions: bool) -> None:
    """Let the untrained heads say "foreground with this probability" everywhere.

    Else the first hundreds of steps are spent on learning that there is almost no foreground.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, section 4.1.

    Args:
        network: Its `decoder.seg_layers` are changed in place; a network without them is left alone, and so are heads
            that are more than a convolution: AANet's begin at its own prior, with weights of zero.
        probability: Of each foreground class or region.
        regions: Whether channels are sigmoid regions; else channel 0 is background.
    """
    heads = getattr(getattr(network, "decoder", None), "seg_layers", ())
    with torch.no_grad():
        for head in heads:
            if not isinstance(head, nn.Conv2d | nn.Conv3d):
                continue
            nn.init.normal_(head.weight, std=0.01)
            if head.bias is None:
                continue
            first = 0 if regions else 1
            head.bias[:first] = 0.0
            # softmax: with k foreground classes of this probability the background has what is left
            rest = 1 - probability if regions else max(1e-6, 1 - probability * (len(head.bias) - 1))
            head.bias[first:] = math.log(probability / rest)
