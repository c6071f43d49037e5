"""Instance normalisation that is also defined on a single voxel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceNorm(nn.Module):
    """The function and the parameters of `torch.nn.InstanceNorm2d` and `3d`, for any number of spatial axes.

    torch refuses a training input of one voxel per channel; a deep bottleneck on a small patch has just that. There
    the deviation from the mean is zero, so the result is the bias, and a gradient of zero flows back.

    Args:
        channels: Number of channels.
        eps: Added to the variance.
        affine: Whether there is a weight and a bias per channel.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Each channel of each sample (n, c, ...) brought to mean 0 and variance 1, then scaled and shifted."""
        return torch.instance_norm(
            x,
            self.weight,
            self.bias,
            None,
            None,
            True,  # statistics of the input
            0.0,  # momentum of moving averages, of which there are none
            self.eps,
            torch.backends.cudnn.enabled,
        )

    def extra_repr(self) -> str:
        """Shown by `print(network)`."""
        return f"{self.channels}, eps={self.eps}, affine={self.weight is not None}"
