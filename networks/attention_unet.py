"""Attention U-Net."""

from __future__ import annotations

from pe_nnunet.networks.u_shaped import PublishedUNet


class AttentionUNet(PublishedUNet):
    """Double convolutions and attention gates on the skips; four poolings as published. Ablation: `attention=False`.

    Arguments as for `UShapedNetwork`.

    Source: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018; details as in
        CTISPED's Unets-2D: the gating signal is the coarser stage's output, upsampling is corner-aligned, and one more
        1x1 convolution follows the gate.
    """

    bytes_per_feature = 5.9
    residual_default = False
    recurrence_default = 0
    attention_default = True
