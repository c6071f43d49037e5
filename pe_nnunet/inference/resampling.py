"""nnU-Net's resampling of one channel, in slabs and in single precision.

nnU-Net resamples by `skimage.transform.resize` in double precision (images by cubic splines) or by torch's linear
interpolation, a whole volume at once. Both are linear and separable: along each axis the result is a matrix times the
data. The matrices are made by scikit-image itself, applied to unit vectors; three matrix products then give the same
numbers, in a tenth of the time and with memory for one slab of slices, on the CPU or a GPU. On the CPU `python
benchmarks/machine_tricks.py` measures what that saves of the whole command `pe-nnunet predict-fused`: it took 0.83 of
the time and 0.86 of the processor time that it takes with nnU-Net's functions, in 1.02 of the memory (AMD EPYC with
avx512_bf16, one thread).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from nnunetv2.configuration import ANISO_THRESHOLD
from skimage.transform import resize
from torch import Tensor

from pe_nnunet.inference.device import CPU
from pe_nnunet.precision import single_precision

SLAB_SLICES = 16
NEGLIGIBLE = 1e-8  # a cubic spline reaches over all samples, but falls by a factor of 3.7 with each

Planes = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class Resampling:
    """How one channel goes from one grid to another.

    Attributes:
        shape: Of the data, (z, y, x).
        new_shape: Of the result.
        order: Of the spline: 1 linear, 3 cubic.
        slicewise: Whether slices are resampled by themselves, and slices taken from the nearest (coarse z spacing).
    """

    shape: tuple[int, int, int]
    new_shape: tuple[int, int, int]
    order: int
    slicewise: bool

    @classmethod
    def of_plans(
        cls,
        function: str,
        settings: dict[str, Any],
        shape: Sequence[int],
        new_shape: Sequence[int],
        spacing_mm: Sequence[float],
        new_spacing_mm: Sequence[float],
    ) -> Resampling | None:
        """What nnU-Net's plans ask for; None where it is something else than this module does.

        Args:
            function: Name of nnU-Net's function in the plans.
            settings: Its arguments in the plans.
            shape: Of the data, (z, y, x), in the plans' order of axes.
            new_shape: Of the result.
            spacing_mm: Of the data.
            new_spacing_mm: Of the result.
        """
        if function == "resample_torch_fornnunet":
            order, plain = 1, settings.get("mode", "linear") == "linear" and not settings.get("aniso_axis_mode")
        else:
            order = settings.get("order", 3)
            plain = function == "resample_data_or_seg_to_shape" and order in (1, 3) and settings.get("order_z", 0) == 0
        if not plain or settings.get("is_seg", False):
            return None
        threshold = settings.get("separate_z_anisotropy_threshold", ANISO_THRESHOLD)
        force = settings.get("force_separate_z", None if function == "resample_torch_fornnunet" else False)
        axis = coarse_axis(force, spacing_mm, new_spacing_mm, threshold)
        if axis not in (None, 0):
            return None
        old, new = (tuple(int(n) for n in side) for side in (shape, new_shape))
        return cls((old[0], old[1], old[2]), (new[0], new[1], new[2]), order, axis == 0)

    def slabs(
        self, planes: Planes, limits: tuple[float, float] | None = None, device: torch.device = CPU
    ) -> Iterator[tuple[int, Tensor]]:
        """The result, slab by slab.

        Args:
            planes: Gives the data's slices from one index up to another, (slices, y, x) float32.
            limits: Lowest and highest value of the data, which cubic splines may not overshoot (nor do nnU-Net's).
            device: Where these slices lie, and the result will.

        Yields:
            The index of the slab's first slice, and the slab (slices, new y, new x).
        """
        z = axis_weights(self.shape[0], self.new_shape[0], 0 if self.slicewise else self.order)
        y, x = (
            None if n == m else axis_weights(n, m, self.order).to(device)
            for n, m in zip(self.shape[1:], self.new_shape[1:], strict=True)
        )
        for first in range(0, self.new_shape[0], SLAB_SLICES):
            rows = z[first : first + SLAB_SLICES]
            needed = torch.nonzero((rows.abs() > NEGLIGIBLE).any(dim=0)).flatten()
            low, high = int(needed[0]), int(needed[-1]) + 1
            data, rows = planes(low, high), rows[:, low:high]
            if self.slicewise:
                flat = _products(data, None, y, x)
                if self.order > 1:
                    flat = torch.clamp(flat, data.amin((1, 2), keepdim=True), data.amax((1, 2), keepdim=True))
                yield first, flat[rows.argmax(dim=1).to(device)]
                continue
            slab = _products(data, None if self.shape[0] == self.new_shape[0] else rows.to(device), y, x)
            yield first, slab.clamp_(*limits) if limits is not None and self.order > 1 else slab

    def whole(self, planes: Planes, limits: tuple[float, float] | None = None, device: torch.device = CPU) -> Tensor:
        """The result in one piece; see `slabs`."""
        result = torch.empty(self.new_shape, device=device)
        for first, slab in self.slabs(planes, limits, device):
            result[first : first + len(slab)] = slab
        return result


def _products(planes: Tensor, z: Tensor | None, y: Tensor | None, x: Tensor | None) -> Tensor:
    """Other slices, rows and columns, by the weights of each axis; None for an axis that stays as it is."""
    with single_precision():
        if z is not None:
            planes = torch.tensordot(z, planes, dims=1)
        if y is not None:
            planes = torch.matmul(y, planes)
        return planes if x is None else torch.matmul(planes, x.T)


def resampled_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], new_spacing_mm: Sequence[float]
) -> tuple[int, ...]:
    """How many voxels nnU-Net gives an image at another spacing.

    Like `coarse_axis` it is not taken from nnU-Net, whose module of both brings pandas: an eighth of the time to start.

    Example:
        >>> resampled_shape((30, 512, 512), (3.0, 0.7, 0.7), (2.0, 1.0, 1.0))
        (45, 358, 358)
    """
    return tuple(round(old / new * n) for old, new, n in zip(spacing_mm, new_spacing_mm, shape, strict=True))


def coarse_axis(
    force: bool | None, spacing_mm: Sequence[float], new_spacing_mm: Sequence[float], threshold: float = ANISO_THRESHOLD
) -> int | None:
    """The axis along which nnU-Net takes the nearest slices, which it resamples by themselves; None for no such axis.

    Args:
        force: `force_separate_z` of the plans; None decides by the spacings.
        spacing_mm: Of the data.
        new_spacing_mm: Of the result.
        threshold: A spacing that is this many times the finest one is coarse.

    Example:
        >>> coarse_axis(None, (5.0, 0.7, 0.7), (1.0, 1.0, 1.0)), coarse_axis(None, (0.24, 1.25, 1.25), (1.0, 1.0, 1.0))
        (0, None)
    """
    if force is False:
        return None
    for spacing in (spacing_mm, new_spacing_mm):
        if force or max(spacing) / min(spacing) > threshold:
            coarsest = [axis for axis, mm in enumerate(spacing) if mm == max(spacing)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


@lru_cache(maxsize=32)
def axis_weights(size: int, new_size: int, order: int) -> Tensor:
    """What each of the new samples along an axis takes from each of the old ones.

    Args:
        size: Samples of the data.
        new_size: Samples of the result, over the same length.
        order: Of the spline: 0 nearest, 1 linear, 3 cubic.

    Returns:
        (new_size, size) float32.

    Example:
        >>> axis_weights(2, 4, 1).tolist()
        [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    if size == new_size:
        return torch.eye(size)
    if order == 0:
        nearest = np.minimum(np.floor((np.arange(new_size) + 0.5) * (size / new_size)), size - 1).astype(int)
        return torch.eye(size)[torch.from_numpy(nearest)]
    columns = resize(np.eye(size), (new_size, size), order=order, mode="edge", anti_aliasing=False, clip=False)
    return torch.from_numpy(np.asarray(columns, np.float32))
