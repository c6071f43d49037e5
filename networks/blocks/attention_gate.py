"""Additive attention gates on skip connections.

Source: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, section 2.2 and figure 2.
    As in the original 2D networks, the gated skip passes one more 1x1 convolution and a norm.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.layers import Layers
from pe_nnunet.networks.blocks.sizes import values
from pe_nnunet.networks.blocks.upsample import upsample_linear


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
        return values(2 * self.inner_channels + 1, below_size) + values(self.skip_channels, size)
