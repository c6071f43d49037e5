"""nnU-Net's augmentation without what depends on the clock."""

from __future__ import annotations

from typing import Any

from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform


def without_clock(transform: Any) -> Any:
    """Let every Gaussian blur always use the same method.

    nnU-Net's measures which of two methods is the faster one and takes that: they differ in the last bits, so that the
    same seed would not give the same batch.

    Args:
        transform: A transform of batchgeneratorsv2, or one that holds others; changed in place.

    Returns:
        The same object.
    """
    if isinstance(transform, GaussianBlurTransform):
        transform.benchmark = False
    for inner in [*getattr(transform, "transforms", ()), getattr(transform, "transform", None)]:
        if inner is not None:
            without_clock(inner)
    return transform
