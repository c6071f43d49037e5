"""Instance normalisation that is also defined on a single voxel, and keeps channels last."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pe_nnunet.networks.blocks.narrow_norm import LANES, has_rows, narrow_norm

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class InstanceNorm(nn.Module):
    """The function and the parameters of `torch.nn.InstanceNorm2d` and `3d`, for any number of spatial axes.

    torch refuses a training input of one voxel per channel; a deep bottleneck on a small patch has just that. There
    the deviation from the mean is zero, so the result is the bias, and a gradient of zero flows back.

    On a CPU torch's kernel leaves maps that lie channels last in channels first, and every operation up to the next
    convolution meets two layouts. Batch norm of one sample is the same function and has a kernel for either layout, but
    a slow one, five times slower backwards, unless the channels fill the vector registers. So: batch norm where they
    do, elsewhere several voxels as one (`narrow_norm`), and what fits neither there and back.
    `benchmarks/instance_norm.py` has the times.

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
        if x.device.type != "cpu" or not _lies_channels_last(x):
            return self._instance_norm(x)
        if self.weight is not None and self.bias is not None and has_rows(x) and not torch.compiler.is_compiling():
            return narrow_norm(x, self.weight, self.bias, self.eps)
        if self.channels % LANES and x.shape[0] > 1:  # of one sample torch's gradient is wrong where the layouts differ
            return self._instance_norm(x.contiguous()).contiguous(memory_format=CHANNELS_LAST[x.dim()])
        samples = [self._batch_norm(sample) for sample in torch.split(x, 1)]
        return samples[0] if len(samples) == 1 else torch.cat(samples)

    def _instance_norm(self, x: Tensor) -> Tensor:
        """Not `F.instance_norm`, which refuses a single voxel."""
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

    def _batch_norm(self, sample: Tensor) -> Tensor:
        """One sample (1, c, ...); not `F.batch_norm`, which refuses a single voxel."""
        return torch.batch_norm(sample, self.weight, self.bias, None, None, True, 0.0, self.eps, False)

    def extra_repr(self) -> str:
        """Shown by `print(network)`."""
        return f"{self.channels}, eps={self.eps}, affine={self.weight is not None}"


def with_our_norms(network: nn.Module) -> nn.Module:
    """Replace torch's instance norms in a network, whose function and weights stay as they are.

    For networks of others that run on a CPU with channels last; `benchmarks/instance_norm.py` has the times.

    Args:
        network: Changed in place; norms that it holds twice stay one.

    Returns:
        The same network.
    """
    ours: dict[nn.Module, InstanceNorm] = {}
    for module in list(network.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, nn.InstanceNorm2d | nn.InstanceNorm3d) and not norm.track_running_stats:
                if norm not in ours:
                    ours[norm] = InstanceNorm(norm.num_features, eps=norm.eps, affine=norm.affine)
                    ours[norm].load_state_dict(norm.state_dict())
                setattr(module, name, ours[norm])
    return network


def _lies_channels_last(x: Tensor) -> bool:
    layout = CHANNELS_LAST.get(x.dim())
    return layout is not None and x.is_contiguous(memory_format=layout) and not x.is_contiguous()
