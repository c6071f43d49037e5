"""Atrous spatial pyramid pooling.

Source: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, section 3.3; in AANet
    (MICCAI 2022) with weight standardisation, in 3D, and without image pooling.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.sizes import values
from pe_nnunet.networks.blocks.weight_standardised import unit

DILATIONS = (3, 5, 7, 9)


class ASPP(nn.Module):
    """A 1x1x1 unit and four dilated ones side by side, joined by another 1x1x1 unit.

    Args:
        in_channels: Channels of its input.
        features: Channels of each branch and of the result.
        kernel_size: Edge lengths of the dilated convolutions.
    """

    def __init__(self, in_channels: int, features: int, kernel_size: Sequence[int]) -> None:
        super().__init__()
        self.features = features
        self.branches = nn.ModuleList(
            [unit(in_channels, features, (1, 1, 1))]
            + [unit(in_channels, features, kernel_size, dilation=dilation) for dilation in DILATIONS]
        )
        self.join = unit(features * len(self.branches), features, (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, z, y, x) to (n, features, z, y, x)."""
        out: Tensor = self.join(torch.cat([branch(x) for branch in self.branches], dim=1))
        return out

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return (len(self.branches) + 1) * values(self.features, size)
