"""Segmentation heads that start from a small probability of foreground."""

from __future__ import annotations

import math

import torch
from torch import nn


def start_from_prior(network: nn.Module, probability: float, regions: bool) -> None:
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
