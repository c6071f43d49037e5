"""The stages of a network: which axes are halved between them, how far convolutions reach, and what plans say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ISOTROPY_FACTOR = 2.0  # spacings within this factor count as equal, as in nnU-Net
MIN_EDGE = 4  # an axis is not halved below this many voxels
MAX_FEATURES = {2: 512, 3: 320}  # per stage, as in nnU-Net
NAMED_CLASSES = ("conv_op", "norm_op", "nonlin")  # arch_kwargs that nnU-Net looks up by name


@dataclass(frozen=True)
class Topology:
    """Strides and kernels per stage, full resolution first.

    Attributes:
        strides: The step into each stage, per axis; 1 for the first.
        kernel_sizes: Edge lengths of the convolutions, per stage and axis.
    """

    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]


def plan_topology(spacing_mm: Sequence[float], size: Sequence[int], n_poolings: int) -> Topology:
    """Strides and kernels for images of that spacing and size.

    An axis waits with pooling, and with kernels longer than 1, until the others are as coarse as it is (within a
    factor of two), and is not pooled where fewer than four voxels would remain. Where no axis can be pooled, there
    are fewer poolings than asked for, but at least one stage.

    Args:
        spacing_mm: Voxel spacing per axis.
        size: The largest patch that makes sense, in voxels per axis.
        n_poolings: How many times at most.

    Example:
        >>> plan_topology((5.0, 0.8, 0.8), (64, 256, 256), 3).strides
        ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    """
    current, remaining = [float(s) for s in spacing_mm], [int(n) for n in size]
    strides = [(1,) * len(current)]
    kernels = [_kernel(current, (1,) * len(current))]
    for _ in range(n_poolings):
        able = [axis for axis, n in enumerate(remaining) if n >= 2 * MIN_EDGE]
        if not able:
            break
        finest = min(current[axis] for axis in able)
        stride = tuple(2 if a in able and current[a] < ISOTROPY_FACTOR * finest else 1 for a in range(len(current)))
        current = [c * s for c, s in zip(current, stride, strict=True)]
        remaining = [n // s for n, s in zip(remaining, stride, strict=True)]
        strides.append(stride)
        kernels.append(_kernel(current, kernels[-1]))
    return Topology(tuple(strides), tuple(kernels))


def u_shaped_kwargs(topology: Topology, width: int) -> dict[str, Any]:
    """The plans' keyword arguments of a U-shaped network: its stages, with instance norms and LeakyReLUs.

    Args:
        topology: Strides and kernels.
        width: Channels at full resolution; they double with each stage up to a limit.
    """
    dimensions, n_stages = len(topology.strides[0]), len(topology.strides)
    return {
        "n_stages": n_stages,
        "features_per_stage": [min(width * 2**i, MAX_FEATURES[dimensions]) for i in range(n_stages)],
        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "kernel_sizes": [list(kernel) for kernel in topology.kernel_sizes],
        "strides": [list(stride) for stride in topology.strides],
        "conv_bias": False,  # an instance norm would take it away again
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _kernel(spacing_mm: Sequence[float], before: Sequence[int]) -> tuple[int, ...]:
    finest = min(spacing_mm)
    return tuple(
        3 if k == 3 or s < ISOTROPY_FACTOR * finest else 1  # once 3, an axis stays 3
        for s, k in zip(spacing_mm, before, strict=True)
    )
