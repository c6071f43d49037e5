"""Axes over which patches are mirrored."""

from __future__ import annotations

from collections.abc import Sequence

LEFT_RIGHT = 2  # of an image (z, y, x)


def mirror_axes(mirroring: str, transpose_forward: Sequence[int], dimensions: int) -> tuple[int, ...]:
    """Axes of a patch for the recipe's `training_mirroring`.

    Args:
        mirroring: `all`, `left-right` or `none`.
        transpose_forward: The plans' order of the image's axes (z, y, x).
        dimensions: Of a patch: 3, or 2 for slices across the first axis of that order.

    Example:
        >>> mirror_axes("left-right", [0, 1, 2], 3), mirror_axes("left-right", [1, 0, 2], 2)
        ((2,), (1,))
    """
    axes = range(dimensions)
    if mirroring == "all":
        return tuple(axes)
    order = transpose_forward[-dimensions:]
    return tuple(axis for axis in axes if mirroring == "left-right" and order[axis] == LEFT_RIGHT)
