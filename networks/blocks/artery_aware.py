"""The blocks of AANet: residual blocks, atrous spatial pyramid pooling, a step of the decoder, and a head.

Source: "Artery-aware network for pulmonary embolism detection in CTPA images" (AANet), MICCAI 2022. The pyramid: Chen
    et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, section 3.3; here with weight
    standardisation, in 3D, and without image pooling.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.layers import count_values
from pe_nnunet.networks.blocks.weight_standardised import StandardisedConvTranspose3d, StandardisedUnit, unit

DILATIONS = (3, 5, 7, 9)
PRIOR = 0.01  # probability that the heads begin with


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
        return (2 if self.shortcut is None else 3) * count_values(self.out_channels, size)


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
        return (len(self.branches) + 1) * count_values(self.features, size)


class AANetLevel(nn.Module):
    """One step up: transposed convolution, the skip through a residual block, both through residual blocks.

    Args:
        below_channels: Channels of the coarser level.
        channels: Channels of the skip and of the result.
        kernel_size: Edge lengths of the convolutions.
        stride: Ratio of the two sizes.
        n_blocks: Residual blocks on both.
    """

    def __init__(
        self, below_channels: int, channels: int, kernel_size: Sequence[int], stride: Sequence[int], n_blocks: int
    ) -> None:
        super().__init__()
        self.channels = channels
        self.up = StandardisedUnit(StandardisedConvTranspose3d(below_channels, channels, stride))
        self.skip = StandardisedResidual(channels, channels, kernel_size)
        self.blocks = ResidualSequence(2 * channels, channels, kernel_size, n_blocks)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """The skip (n, channels, z, y, x) and the coarser (n, below_channels, ...) to the skip's shape."""
        out: Tensor = self.blocks(torch.cat((self.up(below), self.skip(skip)), dim=1))
        return out

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return count_values(self.channels, size) + self.skip.count_features(size) + self.blocks.count_features(size)


class ProbabilityHead(nn.Module):
    """A transposed convolution to full resolution and a convolution to one logit.

    Args:
        in_channels: Channels of its input.
        features: Channels in between.
        kernel_size: Edge lengths of the last convolution.
        stride: Step of the transposed one.
    """

    def __init__(self, in_channels: int, features: int, kernel_size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.up = StandardisedUnit(StandardisedConvTranspose3d(in_channels, features, stride))
        kernel = (kernel_size[0], kernel_size[1], kernel_size[2])
        self.out = nn.Conv3d(features, 1, kernel, padding=(kernel[0] // 2, kernel[1] // 2, kernel[2] // 2))
        self.begin_at_prior()

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, z, y, x) to a logit at full resolution (n, 1, ...)."""
        out: Tensor = self.out(self.up(x))
        return out

    def begin_at_prior(self) -> None:
        """Zero weights and the prior's log-odds as bias: rare structures are not flooded at first."""
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.constant_(self.out.bias, log(PRIOR / (1 - PRIOR)))
