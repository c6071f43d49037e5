"""The blocks of the U-Net and the Attention U-Net: double convolutions, and additive attention gates on the skips.

Source: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, figure 1;
    with padding, and a norm after each convolution. Oktay et al., "Attention U-Net: Learning Where to Look for the
    Pancreas", MIDL 2018, section 2.2 and figure 2; as in the original 2D networks, the gated skip passes one more 1x1
    convolution and a norm.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.layers import Layers, count_values, repeated, upsample_linear


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


class ConvBlock(nn.Sequential):
    """Convolution, norm and activation, several times; twice is the double convolution.

    Args:
        layers: Layer types.
        in_channels: Channels of its input, (n, in_channels, ...).
        out_channels: Channels of all its convolutions and of its output.
        kernel_size: Edge lengths of all.
        units: How many convolutions.
    """

    def __init__(
        self, layers: Layers, in_channels: int, out_channels: int, kernel_size: Sequence[int], *, units: int = 2
    ) -> None:
        channels = [in_channels] + [out_channels] * units
        super().__init__(
            repeated(units, lambda i: ConvNormAct(layers, channels[i], channels[i + 1], kernel_size)),
        )
        self.out_channels = out_channels

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return len(self) * count_values(self.out_channels, size)


class ConvMerge(nn.Module):
    """A decoder step: upsample what comes from below, put it behind the skips, apply a block of convolutions.

    Args:
        layers: Layer types.
        skip_channels: Channels of all skips together.
        below_channels: Channels of what comes from the coarser stage.
        out_channels: Channels of the result.
        kernel_size: Edge lengths of the convolutions.
        units: How many convolutions.
    """

    def __init__(
        self,
        layers: Layers,
        skip_channels: int,
        below_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        units: int = 2,
    ) -> None:
        super().__init__()
        self.convs = ConvBlock(layers, skip_channels + below_channels, out_channels, kernel_size, units=units)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """Skips (n, skip_channels, ...) at this stage's size, and the coarser (n, below_channels, ...)."""
        out: Tensor = self.convs(torch.cat((skip, upsample_linear(below, skip.shape[2:])), dim=1))
        return out

    def count_features(self, size: Sequence[int], below_size: Sequence[int]) -> int:  # noqa: ARG002 all is done at `size`
        """Values that its convolutions put out for one sample; `below_size` is the coarser stage's."""
        return self.convs.count_features(size)


class AttentionGate(nn.Module):
    """Weights each position of a skip connection by how far the coarser stage supports it.

    Args:
        layers: Layer types; the activation inside is a ReLU whatever theirs is, as published.
        skip_channels: Channels of the skip.
        gate_channels: Channels of the coarser stage's maps.
        stride: Ratio of the two sizes, per axis.
    """

    def __init__(self, layers: Layers, skip_channels: int, gate_channels: int, stride: Sequence[int]) -> None:
        super().__init__()
        inner = max(skip_channels // 2, 1)
        self.skip_channels, self.inner_channels = skip_channels, inner
        self.skip_conv = layers.conv(skip_channels, inner, stride, stride=stride, bias=False)
        self.gate_conv = layers.conv(gate_channels, inner, 1, bias=True)
        self.score = layers.conv(inner, 1, 1, bias=True)
        self.out_conv = layers.conv(skip_channels, skip_channels, 1)
        self.out_norm = layers.norm(skip_channels)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Skip (n, skip_channels, ...) and the coarser (n, gate_channels, ...) to a tensor of the skip's shape."""
        out: Tensor = self.out_norm(self.out_conv(skip * self.weights(skip, gate)))
        return out

    def weights(self, skip: Tensor, gate: Tensor) -> Tensor:
        """The attention in 0..1 at the skip's size, (n, 1, ...)."""
        mixed = torch.relu_(self.skip_conv(skip) + self.gate_conv(gate))
        return upsample_linear(torch.sigmoid(self.score(mixed)), skip.shape[2:])

    def count_features(self, size: Sequence[int], below_size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample; `below_size` is the coarser stage's."""
        return count_values(2 * self.inner_channels + 1, below_size) + count_values(self.skip_channels, size)
