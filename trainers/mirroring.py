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
    left_right = [axis for axis, of_image in enumerate(transpose_forward[-dimensions:]) if of_image == LEFT_RIGHT]
    return {"all": tuple(range(dimensions)), "left-right": tuple(left_right), "none": ()}[mirroring]
