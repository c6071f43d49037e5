"""Whether a patch that is asked for suits a network's strides."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.planners.asked import SIZES_CODE
from pe_nnunet.planners.memory import smallest_sides
from pe_nnunet.planners.settings import by


def require_possible(patch: Sequence[int], divisor: Sequence[int], image_size: Sequence[int]) -> None:
    """Refuse a patch that the network's strides do not divide, or that leaves too little at its coarsest stage.

    Args:
        patch: Voxels per axis.
        divisor: What the sides have to be divisible by.
        image_size: Median size of the images in voxels.

    Raises:
        ConfigurationError: PE-PLN-009, with the nearest patches that would do.
    """
    smallest = smallest_sides(image_size, divisor)
    below = [max(low, n // d * d) for n, d, low in zip(patch, divisor, smallest, strict=True)]
    above = [max(low, ceil(n / d) * d) for n, d, low in zip(patch, divisor, smallest, strict=True)]
    if list(patch) == below == above:
        return
    nearest = " or ".join(dict.fromkeys(by(sides) for sides in (below, above)))
    raise ConfigurationError(
        SIZES_CODE,
        f"patch_size_{len(patch)}d is {by(patch)}, but the network's strides need multiples of {by(divisor)}, at "
        f"least {by(smallest)}",
        f"nearest: {nearest}",
    )
