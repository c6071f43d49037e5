"""Two patches of low target ratio joined into one that holds the emboli of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Patch = tuple[Tensor, Tensor]
"""Image (channels, ...) and label (1, ...) of one shape."""


@dataclass(frozen=True)
class ConcatenateLowRatio:
    """Joins patches whose target ratio is low; the loader asks, as it alone sees two.

    Attributes:
        probability: How often a patch drawn around an embolus is joined with another, if both ratios are low.
        below_ratio: PE voxels over voxels of the patch under which it is low.
        axis: The spatial axis across which halves are put together, 0 the first; the last one in patches of fewer axes.
        seam_voxels: Width of the cross-fade of intensities to either side of the seam.
    """

    probability: float
    below_ratio: float
    axis: int
    seam_voxels: int

    def is_low(self, label: Tensor, pe_values: Sequence[int]) -> bool:
        """Whether a patch holds PE, and little of it."""
        return 0 < int(_is_pe(label, pe_values).sum()) < self.below_ratio * label.numel()

    def join(self, first: Patch, second: Patch, pe_values: Sequence[int], final_shape: Sequence[int]) -> Patch:
        """The joined patch; no chance is involved.

        Args:
            first: The half before the seam is taken from it.
            second: The half behind the seam is.
            pe_values: Label values that mean PE.
            final_shape: What is left of a patch once its rim is cut away, in voxels.
        """
        axis = min(self.axis, len(final_shape) - 1)
        return join_halves(first, second, axis, pe_values, final_shape[axis], self.seam_voxels)


def join_halves(
    first: Patch, second: Patch, axis: int, pe_values: Sequence[int], final_length: int, seam_voxels: int
) -> Patch:
    """Put a stretch of one patch before a stretch of another, each the one that holds most PE.

    The label is cut at the seam, where the cross-fade weighs both images alike: a voxel has the label of the patch that
    it shows more of. If nothing is cut away later, the result holds at least half of each patch's PE.

    Args:
        first: Of length n along the axis; n // 2 voxels of it come before the seam.
        second: Of the same shape.
        axis: Spatial axis.
        pe_values: Label values that mean PE.
        final_length: How much of the axis, in the middle, the network will get.
        seam_voxels: Half width of the cross-fade.

    Returns:
        A patch of the same shape.
    """
    dim = axis + 1
    length = first[1].shape[dim]
    half, rim = length // 2, (length - final_length) // 2
    from_first = _best_start(first[1], dim, pe_values, rim, half, length - half)
    from_second = _best_start(second[1], dim, pe_values, 0, rim + final_length - half, half)
    position = torch.arange(length)
    in_first = (position + from_first).clamp(max=length - 1)
    in_second = (position - half + from_second).clamp(0, length - 1)
    seam = max(seam_voxels, 1e-3)
    weight = ((position + 0.5 - half + seam) / (2 * seam)).clamp(0, 1)
    weight = weight.reshape([-1 if k == dim else 1 for k in range(first[0].ndim)]).to(first[0].dtype)
    image = torch.lerp(first[0].index_select(dim, in_first), second[0].index_select(dim, in_second), weight)
    label = torch.where(weight < 0.5, first[1].index_select(dim, in_first), second[1].index_select(dim, in_second))
    return image, label


def _best_start(label: Tensor, dim: int, pe_values: Sequence[int], low: int, high: int, last: int) -> int:
    """The start, 0 to `last`, of which start + low to start + high holds most PE; of several the middle one."""
    slices = _is_pe(label, pe_values).sum(dim=[k for k in range(label.ndim) if k != dim])
    before = torch.cat([torch.zeros(1, dtype=slices.dtype), slices.cumsum(0)])
    starts = torch.arange(last + 1)
    held = before[starts + high] - before[starts + low]
    best = torch.nonzero(held == held.max())[:, 0]
    return int(best[len(best) // 2])


def _is_pe(label: Tensor, pe_values: Sequence[int]) -> Tensor:
    found = label == pe_values[0]
    for value in pe_values[1:]:
        found |= label == value
    return found
