"""Arrays turned to LPS axes and back as views, for volumes of which there is no room for a second copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.volumes.geometry import lps_axes
from pe_nnunet.voxels import Box


def lps_view(array_zyx: NDArray[Any], grid: sitk.Image) -> NDArray[Any]:
    """An array with its axes turned as `to_lps` turns the image that it lies on.

    Args:
        array_zyx: (z, y, x), on the grid of the image.
        grid: The image; its voxels do not matter.

    Returns:
        A view.
    """
    order, flips = _turn(grid)
    turned: NDArray[Any] = array_zyx.transpose(order)[_flipped(flips)]
    return turned


def own_view(part_lps: NDArray[Any], box: Box, grid: sitk.Image) -> tuple[NDArray[Any], Box]:
    """Undo `lps_view` for a part of an array.

    Args:
        part_lps: (z, y, x) in LPS axes, of the shape of the box.
        box: Where it lies in the LPS version of the grid.
        grid: The image.

    Returns:
        A view with the axes of the image, and the box in them.
    """
    order, flips = _turn(grid)
    back = np.argsort(order)
    counts = [grid.GetSize()[::-1][axis] for axis in order]
    spans = [
        (count - stop, count - start) if flip else (start, stop)
        for start, stop, count, flip in zip(box.start, box.stop, counts, flips, strict=True)
    ]
    start, stop = zip(*(spans[axis] for axis in back), strict=True)
    return part_lps[_flipped(flips)].transpose(back), Box.from_list([start, stop])


def _turn(grid: sitk.Image) -> tuple[list[int], list[bool]]:
    """Which axis of the array each axis (z, y, x) in LPS order is, and whether it is flipped."""
    axes, flipped = lps_axes(grid)
    return [2 - axis for axis in reversed(axes)], list(reversed(flipped))


def _flipped(flips: list[bool]) -> tuple[slice, ...]:
    return tuple(slice(None, None, -1 if flip else 1) for flip in flips)
