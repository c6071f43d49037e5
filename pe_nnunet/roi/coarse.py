"""A coarse version of an image for the lung finder, and masks from there back onto the image's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.volumes.geometry import from_lps, image_like, spacing_zyx, to_lps

TARGET_MM = 2.0  # fine enough for the wall between lung and stomach, coarse enough for a second a scan

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


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

    hu: Floats
    spacing_mm: tuple[float, float, float]
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
        upright = to_lps(shrunk)
        return cls(sitk.GetArrayFromImage(upright).astype(np.float32), spacing_zyx(upright), image, shrunk, (x, y, z))

    @property
    def voxel_mm3(self) -> float:
        """Volume of a coarse voxel."""
        z, y, x = self.spacing_mm
        return z * y * x

    def to_fine(self, mask: Bools) -> Bools:
        """Bring a coarse mask onto the image's grid: (z, y, x) in the image's own axes."""
        native = sitk.GetArrayFromImage(from_lps(image_like(mask, to_lps(self.shrunk)), self.shrunk)) > 0
        for axis, factor in enumerate(reversed(self.factors)):
            native = native.repeat(factor, axis=axis) if factor > 1 else native
        shape = self.image.GetSize()[::-1]
        missing = [(0, max(0, n - m)) for n, m in zip(shape, native.shape, strict=True)]
        return np.pad(native, missing, mode="edge") if any(b for _, b in missing) else native


def distance_mm(mask: Bools, spacing_mm: tuple[float, float, float]) -> Floats:
    """Distance of every voxel to the surface of a mask, positive inside, in mm."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(distance).astype(np.float32, copy=False)
