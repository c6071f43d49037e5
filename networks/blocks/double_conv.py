"""Convolution, norm, activation; and two of them in a row, the block of the U-Net.

Source: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, figure 1;
    with padding, and a norm after each convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.layers import Layers
from pe_nnunet.networks.blocks.sizes import values
from pe_nnunet.networks.blocks.upsample import upsample_linear


class ConvNormAct(nn.Module):
    """One convolution, norm and activation.

    Args:
        layers: Layer types.
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        kernel_size: Edge lengths of the convolution.
    """

    def __init__(self, layers: Layers, in_channels: int, out_channels: int, kernel_size: Sequence[int]) -> None:
        super().__init__()
        self.conv = layers.conv(in_channels, out_channels, kernel_size)
        self.norm = layers.norm(out_channels)
        self.nonlin = layers.activation()

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, ...) to (n, out_channels, ...)."""
        out: Tensor = self.nonlin(self.norm(self.conv(x)))
        return out


class DoubleConv(nn.Module):
    """Two times convolution, norm and activation.

    Args:
        layers: Layer types.
        in_channels: Channels of its input.
        out_channels: Channels of both convolutions.
        kernel_size: Edge lengths of both.
    """

    def __init__(self, layers: Layers, in_channels: int, out_channels: int, kernel_size: Sequence[int]) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.first = ConvNormAct(layers, in_channels, out_channels, kernel_size)
        self.second = ConvNormAct(layers, out_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, ...) to (n, out_channels, ...)."""
        out: Tensor = self.second(self.first(x))
        return out

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return 2 * values(self.out_channels, size)


class DoubleConvMerge(nn.Module):
    """A decoder step: upsample what comes from below, put it behind the skips, apply a double convolution.

    Args:
        layers: Layer types.
        skip_channels: Channels of all skips together.
        below_channels: Channels of what comes from the coarser stage.
        out_channels: Channels of the result.
        kernel_size: Edge lengths of both convolutions.
    """

    def __init__(
        self, layers: Layers, skip_channels: int, below_channels: int, out_channels: int, kernel_size: Sequence[int]
    ) -> None:
        super().__init__()
        self.convs = DoubleConv(layers, skip_channels + below_channels, out_channels, kernel_size)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """Skips (n, skip_channels, ...) at this stage's size, and the coarser (n, below_channels, ...)."""
        out: Tensor = self.convs(torch.cat((skip, upsample_linear(below, skip.shape[2:])), dim=1))
        return out

    def count_features(self, size: Sequence[int], below_size: Sequence[int]) -> int:  # noqa: ARG002 all is done at `size`
        """Values that its convolutions put out for one sample; `below_size` is the coarser stage's."""
        return self.convs.count_features(size)
