"""Attention R2U-Net."""

from __future__ import annotations

from pe_nnunet.networks.u_shaped import PublishedUNet


class AttentionR2UNet(PublishedUNet):
    """Recurrent residual blocks and attention gates on the skips; four poolings as published.

    Arguments as for `UShapedNetwork`.

    Source: CTISPED's Unets-2D, which joins Alom et al. 2018 (recurrent residual blocks) and Oktay et al. 2018 (gates).
        With one pooling less this is TAR-UNet.
    """

    bytes_per_feature = 4.4
    residual_default = True
    recurrence_default = 2
    attention_default = True
