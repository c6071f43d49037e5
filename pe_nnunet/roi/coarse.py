"""A coarse version of an image for the lung finder, and masks from there back onto the image's grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.volumes.geometry import from_lps, image_like, spacing_zyx, to_lps
from pe_nnunet.voxels import Box

TARGET_MM = 2.0  # fine enough for the wall between lung and stomach, coarse enough for a second a scan
SLAB_SLICES = 16  # of the image, about as many as are brought to its grid at once

Bools = npt.NDArray[np.bool_]
Hu = npt.NDArray[np.int16] | npt.NDArray[np.float32]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Coarse:
    """An image averaged over blocks of about 2 mm, its axes turned to LPS.

    Attributes:
        hu: (z, y, x), growing towards superior, posterior, left.
        spacing_mm: z, y, x.
        image: The image that it was made from.
        shrunk: The averaged image on the image's own axes.
        factors: Voxels per block along x, y, z of the image's own axes.
    """

    hu: Hu
    spacing_mm: Spacing
    image: sitk.Image
    shrunk: sitk.Image
    factors: tuple[int, int, int]

    @classmethod
    def of(cls, image: sitk.Image) -> Coarse:
        """Average an image over blocks; voxels along an edge that fill no block are left out."""
        x, y, z = (
            max(1, min(round(TARGET_MM / s), n)) for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)
        )
        shrunk = sitk.BinShrink(image, (x, y, z))
        image_lps = to_lps(shrunk)
        return cls(sitk.GetArrayFromImage(image_lps), spacing_zyx(image_lps), image, shrunk, (x, y, z))

    def to_fine(self, mask: Bools) -> Iterator[tuple[Bools, Box]]:
        """Bring a coarse mask onto the image's grid, slab by slab.

        Args:
            mask: On the coarse grid, not empty.

        Yields:
            The mask in the image's own axes (z, y, x) in some slices, only the part within the box that holds it, and
            the box of that part.
        """
        native = sitk.GetArrayFromImage(from_lps(image_like(mask, to_lps(self.shrunk)), self.shrunk)) > 0
        held = Box.around(native)
        if held is None:
            raise ValueError("an empty mask has no place on the fine grid")
        planes = max(1, SLAB_SLICES // self.factors[2])
        for first in range(held.start[0], held.stop[0], planes):
            last = min(first + planes, held.stop[0])
            yield self._fine(native, Box((first, *held.start[1:]), (last, *held.stop[1:])))

    def _fine(self, native: Bools, part: Box) -> tuple[Bools, Box]:
        """A part of a coarse mask in the image's own axes, on the image's grid, and the box that it fills there."""
        fine = native[part.slices]
        shape, factors = self.image.GetSize()[::-1], self.factors[::-1]
        start, stop = [a * f for a, f in zip(part.start, factors, strict=True)], []
        for axis, factor in enumerate(factors):
            fine = fine.repeat(factor, axis=axis) if factor > 1 else fine
            at_end = part.stop[axis] == native.shape[axis]
            rest = shape[axis] - native.shape[axis] * factor if at_end else 0  # voxels that filled no block
            if rest:
                fine = np.pad(fine, [(0, rest if a == axis else 0) for a in range(3)], mode="edge")
            stop.append(part.stop[axis] * factor + rest)
        return fine, Box.from_list([start, stop])


def distance_mm(mask: Bools, spacing_mm: Spacing) -> npt.NDArray[np.float32]:
    """Distance of every voxel to the surface of a mask, positive inside, in mm."""
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    array: npt.NDArray[np.float32] = sitk.GetArrayFromImage(distance)
    return array


def with_neighbours(mask: Bools) -> Bools:
    """The mask grown by one voxel in every direction, diagonals included."""
    grown: Bools = mask.copy()
    for axis in range(3):
        before, after = np.swapaxes(grown, 0, axis), np.swapaxes(grown.copy(), 0, axis)
        before[1:] |= after[:-1]
        before[:-1] |= after[1:]
    return grown
