"""A box of voxels, half open, in array order (z, y, x): into it and back onto the whole grid, voxel for voxel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError

Index = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """Voxels from `start` up to, not including, `stop`.

    Attributes:
        start: First voxel (z, y, x).
        stop: One past the last (z, y, x).

    Raises:
        ValueError: If the box is empty or starts below zero.

    Example:
        >>> Box((0, 2, 2), (4, 6, 8)).shape
        (4, 4, 6)
    """

    start: Index
    stop: Index

    def __post_init__(self) -> None:
        if len(self.start) != 3 or len(self.stop) != 3 or min(self.start) < 0:
            raise ValueError(f"a box needs three indices from zero on (z, y, x), got {self.start} to {self.stop}")
        if any(a >= b for a, b in zip(self.start, self.stop, strict=True)):
            raise ValueError(f"an empty box: {self.start} to {self.stop} (z, y, x)")

    @classmethod
    def around(cls, mask: npt.NDArray[np.generic]) -> Box | None:
        """The smallest box that holds every voxel of a mask (z, y, x) that is not zero; None for an empty mask."""
        start, stop = [], []
        for axis in range(3):
            hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            if not hit.size:
                return None
            start.append(int(hit[0]))
            stop.append(int(hit[-1]) + 1)
        return cls(_index(start), _index(stop))

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Box:
        """The whole of an array of this shape (z, y, x)."""
        return cls((0, 0, 0), _index(shape))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """For indexing an array (z, y, x)."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def shape(self) -> Index:
        """Voxels along z, y, x."""
        return _index([b - a for a, b in zip(self.start, self.stop, strict=True)])

    @property
    def voxels(self) -> int:
        """How many voxels the box holds."""
        return math.prod(self.shape)

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(_index(map(min, self.start, other.start)), _index(map(max, self.stop, other.stop)))

    def grown(self, margin_mm: float, spacing_mm: Sequence[float], limit: Sequence[int]) -> Box:
        """The box with a margin on every side, rounded up to whole voxels and cut at the image's edge.

        Args:
            margin_mm: At least zero.
            spacing_mm: z, y, x.
            limit: The image's shape (z, y, x).
        """
        voxels = [math.ceil(margin_mm / s - 1e-6) for s in spacing_mm]
        return Box(
            _index(max(0, a - n) for a, n in zip(self.start, voxels, strict=True)),
            _index(min(m, b + n) for b, n, m in zip(self.stop, voxels, limit, strict=True)),
        )

    def to_list(self) -> list[list[int]]:
        """`[[z, y, x], [z, y, x]]`: start and stop, for JSON."""
        return [list(self.start), list(self.stop)]

    @classmethod
    def from_list(cls, values: Sequence[Sequence[int]]) -> Box:
        """The inverse of `to_list`."""
        start, stop = values
        return cls(_index(start), _index(stop))


def _index(values: Iterable[int]) -> Index:
    z, y, x = (int(v) for v in values)
    return z, y, x


def crop(image: sitk.Image, box: Box) -> sitk.Image:
    """Cut a box out of an image; every voxel keeps its place in space.

    Args:
        image: Any image.
        box: In array order (z, y, x), within the image.

    Raises:
        GeometryError: PE-GEO-001 if the box reaches outside.
    """
    _require_within(box, image)
    return sitk.RegionOfInterest(image, box.shape[::-1], box.start[::-1])


def paste(part: sitk.Image, box: Box, like: sitk.Image, fill: float = 0) -> sitk.Image:
    """Put a cropped image back onto the whole grid.

    Args:
        part: Of the box's size, any pixel type.
        box: Where it was cut out, in array order (z, y, x).
        like: The image on the whole grid.
        fill: The value outside the box.

    Returns:
        An image of `part`'s pixel type on `like`'s grid.

    Raises:
        GeometryError: PE-GEO-001 if part, box and grid do not fit together.
    """
    _require_within(box, like)
    shape = part.GetSize()[::-1]
    if shape != box.shape:
        raise GeometryError("PE-GEO-001", f"a part of shape {shape} (z, y, x) does not fit a box of {box.shape}")
    whole = sitk.Image(like.GetSize(), part.GetPixelID())
    whole.CopyInformation(like)
    if fill:
        whole += fill
    z, y, x = box.slices
    whole[x, y, z] = part  # in place: a scan's map in single precision is large, and one of it is enough
    return whole


def _require_within(box: Box, image: sitk.Image) -> None:
    shape = image.GetSize()[::-1]
    if any(b > n for b, n in zip(box.stop, shape, strict=True)):
        raise GeometryError(
            "PE-GEO-001", f"the box {box.start} to {box.stop} reaches outside an image of {shape} (z, y, x)"
        )
