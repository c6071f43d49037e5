"""Instance norm of maps that lie channels last and whose channels do not fill a CPU's vector registers.

A map of V voxels and C channels is, in memory, also one of V / k voxels and k C channels. With k chosen so that k C
channels fill whole registers, torch's batch norm has a quick kernel for it, where it has none for C. Each true channel
then stands k times side by side; its mean and variance, and in the backward pass its sums, follow from those k parts.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LANES = 16
"""float32 values in a vector register: channels-last kernels are quick for a multiple of that many channels only."""


def has_rows(x: Tensor) -> bool:
    """Whether `narrow_norm` takes a map: float32, channels that are no multiple of `LANES`, voxels that make rows."""
    repeats = _repeats(x.shape[1])
    return x.dtype == torch.float32 and repeats > 1 and x.shape[2:].numel() % repeats == 0


def narrow_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Instance norm.

    Args:
        x: (n, c, ...), channels last, see `has_rows`; the result is laid out likewise.
        weight: (c,).
        bias: (c,).
        eps: Added to the variance.
    """
    out: Tensor = _NarrowNorm.apply(x, weight, bias, eps)
    return out


class _NarrowNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        repeats, channels = _repeats(x.shape[1]), x.shape[1]
        statistics, found = [], []
        for rows in _rows(x):
            means, variances = (part.view(repeats, channels) for part in _statistics(rows))
            mean = means.mean(0)
            variance = (variances + (means - mean).square()).mean(0)
            statistics.append((mean, variance))
            found.append(_scaled(rows, mean, variance, weight, bias, eps))
        ctx.save_for_backward(x, weight, *(part for pair in statistics for part in pair))
        ctx.eps = eps
        return _map(found, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, *statistics = ctx.saved_tensors
        repeats, voxels = _repeats(x.shape[1]), x.shape[2:].numel()
        layout = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
        of_weight, of_bias, found = torch.zeros_like(weight), torch.zeros_like(weight), []
        given = _rows(gradient.contiguous(memory_format=layout))
        nothing = weight.new_zeros(0)
        for i, (rows, above) in enumerate(zip(_rows(x), given, strict=True)):
            mean, variance = statistics[2 * i : 2 * i + 2]
            repeated = [part.repeat(repeats) for part in (weight, mean, variance)]
            direct, *sums = torch.ops.aten.native_batch_norm_backward(
                above, rows, *repeated, nothing, nothing, False, ctx.eps, [True, True, True]
            )
            normed_sum, plain_sum = (part.view(repeats, -1).sum(0) for part in sums)
            of_weight += normed_sum
            of_bias += plain_sum
            # what reaches x by way of its mean and variance is linear in the normalised x: a norm with other parameters
            share = -weight * torch.rsqrt(variance + ctx.eps) / voxels
            found.append(direct + _scaled(rows, mean, variance, share * normed_sum, share * plain_sum, ctx.eps))
        return _map(found, x), of_weight, of_bias, None


def _repeats(channels: int) -> int:
    return LANES // gcd(LANES, channels)


def _rows(x: Tensor) -> list[Tensor]:
    """Each sample as (1, k c, rows, 1), channels last, in the same memory."""
    samples, channels = x.shape[:2]
    wide = _repeats(channels) * channels
    lines = x.movedim(1, -1).reshape(samples, -1, wide)
    return [part.t()[None, :, :, None] for part in lines]


def _map(rows: list[Tensor], like: Tensor) -> Tensor:
    """Back from `_rows`, in memory of its own: what follows may change it in place, which autograd forbids of views."""
    out = torch.empty_like(like)
    for part, of_sample in zip(rows, _rows(out), strict=True):
        of_sample.copy_(part)
    return out


def _statistics(rows: Tensor) -> tuple[Tensor, Tensor]:
    mean, variance = torch.batch_norm_update_stats(rows, None, None, 0.0)
    return mean, variance


def _scaled(rows: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The norm with given statistics, of each channel."""
    repeats = rows.shape[1] // len(mean)
    weight, bias, mean, variance = (part.repeat(repeats) for part in (weight, bias, mean, variance))
    return torch.native_batch_norm(rows, weight, bias, mean, variance, False, 0.0, eps)[0]
