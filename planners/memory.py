"""What training needs in memory, and the width, patch and batch that suit a memory target.

The estimate counts what lies in memory at the peak of a training step under autocast:

    reserve + 16 bytes x parameters + 1.25 x saved bytes
    saved bytes = batch x features x bytes per feature + parameters x bytes per parameter

`features` is what `compute_conv_feature_map_size` counts; the two constants belong to each network and are measured by
what autograd keeps; the factor covers gradients in flight, convolution workspaces and the loss. Each parameter comes
four times in single precision: itself, gradient, momentum, moving average.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, prod, sqrt

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.networks import SegmentationNetwork

GIB = 2**30
RESERVE_GIB = 0.5  # CUDA's context and libraries
BYTES_PER_PARAMETER = 16
WORKING_FACTOR = 1.25
MAX_WIDTH_FROM_GIB = 8.0
MIN_WIDTH = 16  # fewer channels leave a CPU's vector registers part empty: 8 cost more than half as much as 16
WIDTH_STEP = 4
MIN_BATCH_SIZE = 2
MIN_BOTTLENECK = 2  # voxels per axis at the coarsest stage; fewer only where the image has no more
MAX_SHARE_OF_DATA = 0.05  # of all voxels in one batch, as in nnU-Net: larger batches overfit


def saved_bytes(network: SegmentationNetwork, patch_size: Sequence[int], batch_size: int) -> float:
    """Bytes that autograd keeps between the forward and the backward pass.

    Args:
        network: As it is trained, deep supervision included.
        patch_size: Voxels per axis, divisible by the network's divisor.
        batch_size: Patches per step.
    """
    features = batch_size * network.compute_conv_feature_map_size(patch_size)
    return features * network.bytes_per_feature + count_parameters(network) * network.bytes_per_parameter


def training_bytes(network: SegmentationNetwork, patch_size: Sequence[int], batch_size: int) -> float:
    """Peak bytes of a training step, without the reserve.

    Args:
        network: As it is trained, deep supervision included.
        patch_size: Voxels per axis, divisible by the network's divisor.
        batch_size: Patches per step.
    """
    saved = saved_bytes(network, patch_size, batch_size)
    return BYTES_PER_PARAMETER * count_parameters(network) + WORKING_FACTOR * saved


def count_parameters(network: SegmentationNetwork) -> int:
    """The number of trained values."""
    return sum(p.numel() for p in network.parameters())


def usable_bytes(memory_target_gib: float) -> float:
    """What a memory target leaves for training once the reserve is off; of small targets half.

    Example:
        >>> usable_bytes(8) / GIB, usable_bytes(0.5) / GIB
        (7.5, 0.25)
    """
    return (memory_target_gib - min(RESERVE_GIB, memory_target_gib / 2)) * GIB


def width_for(memory_target_gib: float, max_width: int) -> int:
    """Channels at full resolution for a memory target.

    From 8 GiB on a network has its full width. Below, the width falls with the square root of the target, in steps
    of four channels down to sixteen, so that half of what is missing is taken from the width and half from the patch:
    a network that kept its width would soon see too little of the anatomy around an embolus.

    Args:
        memory_target_gib: `-gpu_memory_target`.
        max_width: The width from 8 GiB on.

    Example:
        >>> [width_for(gib, 32) for gib in (0.5, 1, 2, 4, 8, 24)]
        [16, 16, 16, 20, 32, 32]
    """
    share = sqrt(min(memory_target_gib / MAX_WIDTH_FROM_GIB, 1.0))
    return max(MIN_WIDTH, WIDTH_STEP * floor(max_width * share / WIDTH_STEP))


def largest_patch_and_batch(
    network: SegmentationNetwork,
    spacing_mm: Sequence[float],
    image_size: Sequence[int],
    n_voxels_dataset: float,
    memory_target_gib: float,
    patch: tuple[int, ...] | None = None,
    batch: int | None = None,
) -> tuple[tuple[int, ...], int]:
    """The largest patch that fits with the smallest batch, and then the largest batch that fits.

    Args:
        network: As it is trained, deep supervision included.
        spacing_mm: Voxel spacing per axis.
        image_size: Median size of the images in voxels.
        n_voxels_dataset: Voxels of all training images.
        memory_target_gib: `-gpu_memory_target`.
        patch: Keep this one, whether it fits or not.
        batch: Keep this one; the largest patch that fits with it is taken.

    Returns:
        The patch in voxels per axis, and patches per step.

    Raises:
        ConfigurationError: If the target allows no patch.
    """
    budget = usable_bytes(memory_target_gib)
    if patch is None:
        patch = _largest_patch_for(network, spacing_mm, image_size, memory_target_gib, batch or MIN_BATCH_SIZE)
    if batch is None:
        batch = largest_batch(patch, n_voxels_dataset, lambda n: training_bytes(network, patch, n) <= budget)
    return patch, batch


def _largest_patch_for(
    network: SegmentationNetwork,
    spacing_mm: Sequence[float],
    image_size: Sequence[int],
    memory_target_gib: float,
    batch: int,
) -> tuple[int, ...]:
    budget = usable_bytes(memory_target_gib)
    candidates = candidate_patches(spacing_mm, image_size, network.divisor)
    best = largest_patch(candidates, lambda patch: training_bytes(network, patch, batch) <= budget)
    if best is None:
        needed = training_bytes(network, candidates[0], batch)
        raise ConfigurationError(
            "PE-PLN-001",
            f"{type(network).__name__} in {len(image_size)}D needs {needed / GIB:.2f} GiB to train on its smallest "
            f"patch {candidates[0]}, {budget / GIB:.2f} GiB of the {memory_target_gib:g} GiB target can be used",
            "raise -gpu_memory_target, or choose a coarser -overwrite_target_spacing",
        )
    return candidates[best]


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
    smallest = smallest_sides(image_size, divisor)
    edges_mm = {
        d * count * s for s, d, n in zip(spacing_mm, divisor, largest, strict=True) for count in range(1, n // d + 1)
    }

    def patch(edge_mm: float) -> tuple[int, ...]:
        sides = (floor(edge_mm / s / d + 1e-6) * d for s, d in zip(spacing_mm, divisor, strict=True))
        return tuple(min(max(n, low), high) for n, low, high in zip(sides, smallest, largest, strict=True))

    return sorted({patch(edge) for edge in edges_mm}, key=prod)


def smallest_sides(image_size: Sequence[int], divisor: Sequence[int]) -> list[int]:
    """The smallest sides of a patch: two voxels remain at the coarsest stage, unless the image has no more than one.

    Example:
        >>> smallest_sides((3, 100), (4, 4))
        [4, 8]
    """
    return [min(MIN_BOTTLENECK * d, ceil(n / d) * d) for d, n in zip(divisor, image_size, strict=True)]


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
    limit = round(MAX_SHARE_OF_DATA * n_voxels_dataset / prod(patch_size))
    batch = MIN_BATCH_SIZE
    while batch < limit and fits(batch + 1):
        batch += 1
    return batch
