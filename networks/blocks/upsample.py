"""Linear upsampling between corner-aligned grids, as the original networks do it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

MODES = {4: "bilinear", 5: "trilinear"}


def upsample_linear(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate (n, c, y, x) or (n, c, z, y, x) to a spatial size; corner voxels keep their values.

    Args:
        x: Feature maps.
        size: Spatial size of the result.
    """
    return F.interpolate(x, size=tuple(size), mode=MODES[x.dim()], align_corners=True)
