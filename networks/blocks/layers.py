"""What all blocks use: the layer types of a network, linear upsampling, and the count of a feature map's values.

Plans fix the types (`torch.nn.Conv3d`, `torch.nn.InstanceNorm3d`, ...) and their keyword arguments; blocks ask a
`Layers` for instances, so that no block repeats those arguments and 2D and 3D come from the same code.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.instancenorm import _InstanceNorm

from pe_nnunet.networks.blocks.instance_norm import InstanceNorm

DIMENSIONS: dict[type[nn.Module], int] = {nn.Conv2d: 2, nn.Conv3d: 3}
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
"""What a block's repeated parts are called in the state dict."""
POOLING: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
UPSAMPLING = {4: "bilinear", 5: "trilinear"}


@dataclass(frozen=True)
class Layers:
    """Makes the layers of a network.

    Attributes:
        conv_op: `torch.nn.Conv2d` or `torch.nn.Conv3d`.
        conv_bias: Whether a convolution in front of a norm has a bias; behind an instance norm it changes nothing.
        norm_op: A norm class that takes the number of channels, or None for none.
        norm_op_kwargs: Its keyword arguments.
        nonlin: An activation class, or None for none.
        nonlin_kwargs: Its keyword arguments.

    Raises:
        ValueError: If `conv_op` is neither of the two.
    """

    conv_op: type[nn.Module]
    conv_bias: bool = False
    norm_op: type[nn.Module] | None = None
    norm_op_kwargs: Mapping[str, Any] = field(default_factory=dict)
    nonlin: type[nn.Module] | None = nn.LeakyReLU
    nonlin_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.conv_op not in DIMENSIONS:
            raise ValueError(f"conv_op must be torch.nn.Conv2d or torch.nn.Conv3d, got {self.conv_op!r}")

    @property
    def dimensions(self) -> int:
        """The number of spatial axes, 2 or 3."""
        return DIMENSIONS[self.conv_op]

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        bias: bool | None = None,
    ) -> nn.Module:
        """A convolution that keeps the size at stride 1; for other strides give the stride as the kernel size.

        Args:
            in_channels: Channels of its input.
            out_channels: Channels of its output.
            kernel_size: Edge lengths; odd at stride 1.
            stride: Step; where it is not 1 there is no padding.
            bias: Overrides `conv_bias`.
        """
        kernel, step = self.per_axis(kernel_size), self.per_axis(stride)
        padding = tuple(k // 2 if s == 1 and k % 2 else 0 for k, s in zip(kernel, step, strict=True))
        use_bias = self.conv_bias if bias is None else bias
        return self.conv_op(in_channels, out_channels, kernel, stride=step, padding=padding, bias=use_bias)

    def norm(self, channels: int) -> nn.Module:
        """The norm over that many channels; instance norms of torch become our equal one."""
        if self.norm_op is None:
            return nn.Identity()
        if issubclass(self.norm_op, _InstanceNorm) and not self.norm_op_kwargs.get("track_running_stats", False):
            return InstanceNorm(
                channels,
                eps=self.norm_op_kwargs.get("eps", 1e-5),
                affine=self.norm_op_kwargs.get("affine", False),
            )
        return self.norm_op(channels, **self.norm_op_kwargs)

    def activation(self) -> nn.Module:
        """The activation."""
        return nn.Identity() if self.nonlin is None else self.nonlin(**self.nonlin_kwargs)

    def max_pool(self, stride: Sequence[int]) -> nn.Module:
        """Max pooling with windows of the stride's size."""
        return POOLING[self.dimensions](tuple(stride), stride=tuple(stride))

    def per_axis(self, value: int | Sequence[int]) -> tuple[int, ...]:
        """The value once per spatial axis.

        Raises:
            ValueError: If a sequence of another length is given.
        """
        values = (value,) * self.dimensions if isinstance(value, int) else tuple(int(v) for v in value)
        if len(values) != self.dimensions:
            raise ValueError(f"expected one value for each of {self.dimensions} axes, got {value}")
        return values


def repeated(n: int, make: Callable[[int], nn.Module]) -> OrderedDict[str, nn.Module]:
    """So many parts of a block, under their names in the state dict.

    Args:
        n: How many.
        make: Makes the one of that index.

    Raises:
        ValueError: If there are none, or more than have names.

    Example:
        >>> list(repeated(2, lambda i: nn.Identity()))
        ['first', 'second']
    """
    if not 1 <= n <= len(ORDINALS):
        raise ValueError(f"units must be 1 to {len(ORDINALS)}, got {n}")
    return OrderedDict((ORDINALS[i], make(i)) for i in range(n))


def upsample_linear(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate between corner-aligned grids, as the original networks do: corner voxels keep their values.

    Args:
        x: Feature maps (n, c, y, x) or (n, c, z, y, x).
        size: Spatial size of the result.
    """
    return F.interpolate(x, size=tuple(size), mode=UPSAMPLING[x.dim()], align_corners=True)


def count_values(channels: int, size: Sequence[int]) -> int:
    """How many values a feature map of that spatial size holds: the unit in which nnU-Net measures a network's memory.

    Example:
        >>> count_values(8, (4, 4, 4))
        512
    """
    return channels * prod(size)
