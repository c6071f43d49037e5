"""TAR-UNet: the tiny attention residual U-Net."""

from __future__ import annotations

from pe_nnunet.networks.u_shaped import PublishedUNet


class TARUNet(PublishedUNet):
    """Few poolings (three as published), recurrent residual blocks, attention gates on the skips.

    Each block is a 1x1 convolution whose output is added to that of two recurrent units on top of it; a unit applies
    one convolution, norm and activation `recurrence + 1` times. Ablations: `attention=False`; `recurrence=0` for
    plain residual blocks; `residual=False` as well for the double convolutions of the tiny U-Net. Arguments as for
    `UShapedNetwork`.

    Source: the "tiny U-Net" of CTISPED's Unets-2D with its attention and recurrence options on. That this is what
        "TAR-UNet" names is our reading: the original's own command line never selects it. New here: 3D, any strides
        and kernels, deep supervision, instance norm.

    Example:
        >>> import torch
        >>> net = TARUNet(1, 2, n_stages=4, features_per_stage=(4, 8, 16, 32), conv_op=torch.nn.Conv2d)
        >>> net(torch.zeros(1, 1, 32, 48)).shape
        torch.Size([1, 2, 32, 48])
    """

    bytes_per_feature = 4.35
    n_poolings = 3
    residual_default = True
    recurrence_default = 2
    attention_default = True
    options_from_reference = True
