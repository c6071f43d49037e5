"""AANet's residual block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.sizes import values
from pe_nnunet.networks.blocks.weight_standardised import unit


class StandardisedResidual(nn.Module):
    """Two standardised units, the input added before the last ReLU.

    Args:
        in_channels: Channels of its input; where they differ from the output's, a 1x1x1 unit adapts them.
        out_channels: Channels of its output.
        kernel_size: Edge lengths of both convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sequence[int]) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.first = unit(in_channels, out_channels, kernel_size)
        self.second = unit(out_channels, out_channels, kernel_size, activation=False)
        self.shortcut = (
            None if in_channels == out_channels else unit(in_channels, out_channels, (1, 1, 1), activation=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, z, y, x) to (n, out_channels, z, y, x)."""
        through = x if self.shortcut is None else self.shortcut(x)
        return torch.relu(self.second(self.first(x)) + through)

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return (2 if self.shortcut is None else 3) * values(self.out_channels, size)


class ResidualSequence(nn.Sequential):
    """Residual blocks in a row, the first of which adapts the channels.

    Args:
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        kernel_size: Edge lengths of all convolutions.
        n_blocks: Number of blocks.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sequence[int], n_blocks: int) -> None:
        self.blocks = [
            StandardisedResidual(in_channels if i == 0 else out_channels, out_channels, kernel_size)
            for i in range(n_blocks)
        ]
        super().__init__(*self.blocks)

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return sum(block.count_features(size) for block in self.blocks)
