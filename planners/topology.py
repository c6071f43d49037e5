"""Which axes are halved between the stages of a network, and how far its convolutions reach along each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

ISOTROPY_FACTOR = 2.0  # spacings within this factor count as equal, as in nnU-Net
SMALLEST_EDGE = 4  # an axis is not halved below this many voxels


@dataclass(frozen=True)
class Topology:
    """Strides and kernels per stage, full resolution first.

    Attributes:
        strides: The step into each stage, per axis; 1 for the first.
        kernel_sizes: Edge lengths of the convolutions, per stage and axis.
    """

    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]

    @property
    def divisor(self) -> tuple[int, ...]:
        """What the sides of a patch have to be divisible by."""
        return tuple(prod(steps) for steps in zip(*self.strides, strict=True))


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
        able = [axis for axis, n in enumerate(remaining) if n >= 2 * SMALLEST_EDGE]
        if not able:
            break
        finest = min(current[axis] for axis in able)
        stride = tuple(2 if a in able and current[a] < ISOTROPY_FACTOR * finest else 1 for a in range(len(current)))
        current = [c * s for c, s in zip(current, stride, strict=True)]
        remaining = [n // s for n, s in zip(remaining, stride, strict=True)]
        strides.append(stride)
        kernels.append(_kernel(current, kernels[-1]))
    return Topology(tuple(strides), tuple(kernels))


def _kernel(spacing_mm: Sequence[float], before: Sequence[int]) -> tuple[int, ...]:
    finest = min(spacing_mm)
    return tuple(
        3 if k == 3 or s < ISOTROPY_FACTOR * finest else 1  # once 3, an axis stays 3
        for s, k in zip(spacing_mm, before, strict=True)
    )
