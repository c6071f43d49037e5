"""Convolutions with standardised weights, and the unit that AANet is made of.

Source: Qiao et al., "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization", 2019,
    section 3; as in AANet (MICCAI 2022): biased variance, 1e-6 added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ModuleT = TypeVar("ModuleT", bound=nn.Module)
EPS = 1e-6
GROUP_EPS = 1e-5
CHANNELS_PER_GROUP = 4


def standardise(weight: Tensor) -> Tensor:
    """Each output channel's weights (out, in, ...) brought to mean 0 and variance 1; a constant filter becomes zero.

    Computed in single precision at least, for in half precision the sum of a filter's squares may overflow; and, as in
    the published code, by a batch norm whose channels are the filters: rounded the same, equal to the last bit. Not by
    `F.batch_norm`, which refuses filters of one weight.

    Example:
        >>> standardise(torch.ones(1, 2, 1, 1, 1)).flatten()
        tensor([0., 0.])
    """
    filters = weight.to(torch.promote_types(weight.dtype, torch.float32)).reshape(1, weight.shape[0], -1)
    normed = torch.batch_norm(filters, None, None, None, None, True, 0.0, EPS, torch.backends.cudnn.enabled)
    return normed.reshape(weight.shape).to(weight.dtype)


class StandardisedConv3d(nn.Conv3d):
    """A convolution without bias whose weights are standardised on each use.

    Args:
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        kernel_size: Edge lengths.
        stride: Step.
        dilation: Distance of the kernel's elements.
        padding: Zeros on each side.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        stride: Sequence[int] = (1, 1, 1),
        dilation: Sequence[int] = (1, 1, 1),
        padding: Sequence[int] = (0, 0, 0),
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            _triple(kernel_size),
            stride=_triple(stride),
            padding=_triple(padding),
            dilation=_triple(dilation),
            bias=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, z, y, x) to (n, out_channels, ...)."""
        return F.conv3d(x, standardise(self.weight), None, self.stride, self.padding, self.dilation)

    def plain(self) -> nn.Conv3d:
        """Torch's convolution with these weights, standardised."""
        conv = nn.Conv3d(
            self.in_channels,
            self.out_channels,
            _triple(self.kernel_size),
            stride=_triple(self.stride),
            padding=_triple([int(n) for n in self.padding]),
            dilation=_triple(self.dilation),
            bias=False,
        )
        return _with_weights(conv, weight=standardise(self.weight))


class StandardisedConvTranspose3d(nn.ConvTranspose3d):
    """A transposed convolution without bias, its kernel the stride, its weights standardised on each use.

    The published implementation standardises the weights per output channel, which leaves them as (out, in, z, y, x)
    in memory, and then reshapes, not transposes, that memory to the (in, out, z, y, x) of a transposed convolution.
    So input channel i and output channel o do not meet the weight that was standardised for them. The published
    weights were trained that way, and the function has to be the same for them to mean anything.

    Args:
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        stride: Step and kernel size.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: Sequence[int]) -> None:
        super().__init__(in_channels, out_channels, _triple(stride), stride=_triple(stride), bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: ARG002 torch's signature
        """(n, in_channels, z, y, x) to (n, out_channels, ...), larger by the stride."""
        return F.conv_transpose3d(x, self._standardised(), None, self.stride)

    def _standardised(self) -> Tensor:
        return standardise(self.weight.transpose(0, 1)).reshape(self.weight.shape)

    def plain(self) -> nn.ConvTranspose3d:
        """Torch's transposed convolution with these weights, standardised."""
        edges = _triple(self.stride)
        conv = nn.ConvTranspose3d(self.in_channels, self.out_channels, edges, stride=edges, bias=False)
        return _with_weights(conv, weight=self._standardised())


class StandardisedUnit(nn.Module):
    """A standardised convolution, group norm, and ReLU.

    Args:
        conv: The convolution.
        activation: Whether the ReLU is applied.

    Raises:
        ValueError: If the convolution's channels fall into no equal groups.
    """

    def __init__(self, conv: StandardisedConv3d | StandardisedConvTranspose3d, *, activation: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.norm = GroupNorm(conv.out_channels)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, z, y, x) to (n, out_channels, ...)."""
        out: Tensor = self.norm(self.conv(x))
        return torch.relu_(out) if self.activation else out


class GroupNorm(nn.Module):
    """Group norm with a quarter as many groups as channels, rounded down, and torch's names of parameters.

    Under autocast torch would compute its own in single precision, and both that and the copy for the next
    convolution would be kept for the backward pass: twice the network's memory. Here the result has the input's
    precision; sums are taken in single precision inside the kernel all the same.

    Args:
        channels: At least four, and divided by its number of groups, as every multiple of four is.

    Raises:
        ValueError: If it is not.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.n_groups = channels // CHANNELS_PER_GROUP
        if self.n_groups == 0 or channels % self.n_groups:
            raise ValueError(f"channels come in groups of {CHANNELS_PER_GROUP}, got {channels}")
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...) to the same shape."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        n, c, voxels = x.shape[0], x.shape[1], x.shape[2:].numel()
        # contiguous: for channels-last maps with few channels to a group the kernel is some twenty times slower
        return torch.native_group_norm(x.contiguous(), weight, bias, n, c, voxels, self.n_groups, GROUP_EPS)[0]

    def plain(self) -> nn.GroupNorm:
        """Torch's module with these weights."""
        norm = nn.GroupNorm(self.n_groups, len(self.weight), eps=GROUP_EPS)
        return _with_weights(norm, weight=self.weight, bias=self.bias)


def unit(
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1, 1),
    dilation: int = 1,
    activation: bool = True,
) -> StandardisedUnit:
    """A unit that keeps the size at stride 1, and else divides it by the stride.

    Args:
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        kernel_size: Edge lengths; even ones only where they equal the stride.
        stride: Step.
        dilation: Distance of the kernel's elements, along axes where it has more than one.
        activation: Whether a ReLU follows.
    """
    spread = tuple(dilation if k > 1 else 1 for k in kernel_size)
    padding = tuple(d * (k // 2) if k % 2 else 0 for k, d in zip(kernel_size, spread, strict=True))
    conv = StandardisedConv3d(in_channels, out_channels, kernel_size, stride=stride, dilation=spread, padding=padding)
    return StandardisedUnit(conv, activation=activation)


def _with_weights(module: ModuleT, **weights: Tensor) -> ModuleT:
    with torch.no_grad():
        for name, values in weights.items():
            module.get_parameter(name).copy_(values)
    return module.to(next(iter(weights.values())).device)


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = values
    return int(z), int(y), int(x)
