"""What training a network on a patch needs in memory, and the width that suits a memory target.

The estimate counts what lies in memory at the peak of a training step under autocast:

    reserve + 16 bytes x parameters + 1.25 x saved bytes
    saved bytes = batch x features x bytes per feature + parameters x bytes per parameter

`features` is what `compute_conv_feature_map_size` counts; the two constants belong to each network and are measured by
what autograd keeps; the factor covers gradients in flight, convolution workspaces and the loss. Each parameter comes
four times in single precision: itself, gradient, momentum, moving average.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, sqrt

from pe_nnunet.networks import SegmentationNetwork

GIB = 2**30
RESERVE_GIB = 0.5  # CUDA's context and libraries
BYTES_PER_PARAMETER = 16
WORKING_FACTOR = 1.25
WIDEST_AT_GIB = 8.0
NARROWEST = 16  # fewer channels leave a CPU's vector registers part empty: 8 cost more than half as much as 16
WIDTH_STEP = 4


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


def base_features(memory_target_gib: float, widest: int) -> int:
    """Channels at full resolution for a memory target.

    From 8 GiB on a network has its full width. Below, the width falls with the square root of the target, in steps
    of four channels down to sixteen, so that half of what is missing is taken from the width and half from the patch:
    a network that kept its width would soon see too little of the anatomy around an embolus.

    Args:
        memory_target_gib: `-gpu_memory_target`.
        widest: The width from 8 GiB on.

    Example:
        >>> [base_features(gib, 32) for gib in (0.5, 1, 2, 4, 8, 24)]
        [16, 16, 16, 20, 32, 32]
    """
    share = sqrt(min(memory_target_gib / WIDEST_AT_GIB, 1.0))
    return max(NARROWEST, WIDTH_STEP * floor(widest * share / WIDTH_STEP))
