"""Recurrent residual (R2) blocks.

Source: Alom et al., "Recurrent Residual Convolutional Neural Network based on U-Net (R2U-Net) for Medical Image
    Segmentation", 2018, figure 4d and section III.

Two rearrangements leave the function as it is and save memory and time:

- A recurrent unit convolves `x + state`. The convolution is linear and its weights are shared between the steps, so
  its response to `x` is computed once and added to its response to `state`: no sum has to be kept for the backward
  pass, which takes a third off the unit's memory.
- In the decoder, the 1x1 convolution in front of the units comes before the upsampling, not behind it: both are
  linear, one over channels, the other over space. So fewer channels are interpolated, and nothing is concatenated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.layers import Layers, count_values, repeated, upsample_linear


class RecurrentUnit(nn.Module):
    """One convolution, norm and activation, applied `recurrence + 1` times with shared weights.

    The unit's input is added before each application but the first, where there is nothing else.

    Args:
        layers: Layer types.
        channels: Channels of input and output.
        kernel_size: Edge lengths of the convolution.
        recurrence: How often the unit is applied again.
    """

    def __init__(self, layers: Layers, channels: int, kernel_size: Sequence[int], recurrence: int) -> None:
        super().__init__()
        if recurrence < 0:
            raise ValueError(f"recurrence must be at least 0, got {recurrence}")
        self.recurrence = recurrence
        self.channels = channels
        self.conv = layers.conv(channels, channels, kernel_size, bias=False)
        # beside the convolution, not in it: it must enter once per application, as in one convolution of the sum
        self.bias = nn.Parameter(torch.zeros(channels)) if layers.conv_bias else None
        self.norm = layers.norm(channels)
        self.nonlin = layers.activation()

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...) to the same shape."""
        response: Tensor = self.conv(x)
        if self.bias is not None:
            response = response + self.bias.to(response.dtype).view(-1, *[1] * (x.dim() - 2))
        state: Tensor = self.nonlin(self.norm(response))
        for _ in range(self.recurrence):
            state = self.nonlin(self.norm(self.conv(state) + response))
        return state

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolution puts out, over all applications, for one sample of that spatial size."""
        return (self.recurrence + 1) * count_values(self.channels, size)


class RecurrentResidual(nn.Sequential):
    """Recurrent units one after the other, and their input added to their output.

    Args:
        layers: Layer types.
        channels: Channels of input and output.
        kernel_size: Edge lengths of the convolutions.
        recurrence: How often each unit is applied again.
        units: How many.
    """

    def __init__(self, layers: Layers, channels: int, kernel_size: Sequence[int], recurrence: int, units: int) -> None:
        super().__init__(repeated(units, lambda _: RecurrentUnit(layers, channels, kernel_size, recurrence)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...) to the same shape."""
        out = x
        for unit in self:
            out = unit(out)
        return out + x

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return sum(cast("RecurrentUnit", unit).count_features(size) for unit in self)


class R2Block(nn.Module):
    """A 1x1 convolution, and recurrent units, two as published, on top of it.

    Args:
        layers: Layer types.
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        kernel_size: Edge lengths of the units' convolutions.
        recurrence: How often each unit is applied again.
        units: How many there are.
    """

    def __init__(
        self,
        layers: Layers,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        recurrence: int,
        units: int = 2,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.project = layers.conv(in_channels, out_channels, 1, bias=True)
        self.units = RecurrentResidual(layers, out_channels, kernel_size, recurrence, units)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, ...) to (n, out_channels, ...)."""
        out: Tensor = self.units(self.project(x))
        return out

    def count_features(self, size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample of that spatial size."""
        return count_values(self.out_channels, size) + self.units.count_features(size)


class R2Merge(nn.Module):
    """A decoder step: skips and upsampled coarser maps through a joint 1x1 convolution, then recurrent units.

    Args:
        layers: Layer types.
        skip_channels: Channels of all skips together.
        below_channels: Channels of what comes from the coarser stage.
        out_channels: Channels of the result.
        kernel_size: Edge lengths of the units' convolutions.
        recurrence: How often each unit is applied again.
        units: How many there are.
    """

    def __init__(
        self,
        layers: Layers,
        skip_channels: int,
        below_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        recurrence: int,
        units: int = 2,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.project_skip = layers.conv(skip_channels, out_channels, 1, bias=True)
        self.project_below = layers.conv(below_channels, out_channels, 1, bias=False)
        self.units = RecurrentResidual(layers, out_channels, kernel_size, recurrence, units)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """Skips (n, skip_channels, ...) at this stage's size, and the coarser (n, below_channels, ...)."""
        projected: Tensor = self.project_skip(skip) + upsample_linear(self.project_below(below), skip.shape[2:])
        out: Tensor = self.units(projected)
        return out

    def count_features(self, size: Sequence[int], below_size: Sequence[int]) -> int:
        """Values that its convolutions put out for one sample; `below_size` is the coarser stage's."""
        return (
            count_values(self.out_channels, size)
            + count_values(self.out_channels, below_size)
            + self.units.count_features(size)
        )
