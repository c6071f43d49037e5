"""R2U-Net."""

from __future__ import annotations

from pe_nnunet.networks.u_shaped import PublishedUNet


class R2UNet(PublishedUNet):
    """Recurrent residual blocks without gates; four poolings as published.

    Arguments as for `UShapedNetwork`.

    Source: Alom et al., "Recurrent Residual Convolutional Neural Network based on U-Net (R2U-Net) for Medical Image
        Segmentation", 2018; details as in CTISPED's Unets-2D: corner-aligned linear upsampling.
    """

    bytes_per_feature = 4.35
    residual_default = True
    recurrence_default = 2
    attention_default = False
