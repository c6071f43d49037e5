"""The largest patch, and then the largest batch, that fit a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, prod

SMALLEST_BATCH = 2
SMALLEST_BOTTLENECK = 2  # voxels per axis at the coarsest stage; fewer only where the image has no more
LARGEST_SHARE_OF_DATA = 0.05  # of all voxels in one batch, as in nnU-Net: larger batches overfit


def candidate_patches(
    spacing_mm: Sequence[float], image_size: Sequence[int], divisor: Sequence[int]
) -> list[tuple[int, ...]]:
    """Patches that are cubes in millimetres as far as image and divisor allow, smallest first.

    Args:
        spacing_mm: Voxel spacing per axis.
        image_size: Median size of the images in voxels; no side goes beyond it, but for rounding up to the divisor.
        divisor: What the sides have to be divisible by.

    Example:
        >>> candidate_patches((2.0, 1.0), (12, 16), (4, 4))
        [(8, 8), (8, 12), (8, 16), (12, 16)]
    """
    largest = [ceil(n / d) * d for n, d in zip(image_size, divisor, strict=True)]
    smallest = [min(SMALLEST_BOTTLENECK * d, n) for d, n in zip(divisor, largest, strict=True)]
    edges_mm = {
        d * count * s for s, d, n in zip(spacing_mm, divisor, largest, strict=True) for count in range(1, n // d + 1)
    }

    def patch(edge_mm: float) -> tuple[int, ...]:
        sides = (floor(edge_mm / s / d + 1e-6) * d for s, d in zip(spacing_mm, divisor, strict=True))
        return tuple(min(max(n, low), high) for n, low, high in zip(sides, smallest, largest, strict=True))

    return sorted({patch(edge) for edge in edges_mm}, key=prod)


def largest_patch(candidates: Sequence[tuple[int, ...]], fits: Callable[[tuple[int, ...]], bool]) -> int | None:
    """The index of the last candidate that fits, or None where not even the first does.

    Args:
        candidates: Patches, smallest first.
        fits: Whether training on that patch stays within the budget; grows with the patch.

    Example:
        >>> largest_patch([(8, 8), (16, 16), (32, 32)], lambda patch: patch[0] < 20)
        1
    """
    low, high = -1, len(candidates) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(candidates[middle]) else (low, middle - 1)
    return low if low >= 0 else None


def largest_batch(patch_size: Sequence[int], n_voxels_dataset: float, fits: Callable[[int], bool]) -> int:
    """The largest batch that fits and holds at most five percent of the data, but at least two patches.

    Args:
        patch_size: Voxels per axis.
        n_voxels_dataset: Voxels of all training images.
        fits: Whether training with that batch size stays within the budget.
    """
    limit = round(LARGEST_SHARE_OF_DATA * n_voxels_dataset / prod(patch_size))
    batch = SMALLEST_BATCH
    while batch < limit and fits(batch + 1):
        batch += 1
    return batch
