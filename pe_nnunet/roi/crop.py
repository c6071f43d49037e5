"""Into a box and back onto the whole grid, voxel for voxel."""

from __future__ import annotations

import SimpleITK as sitk

from pe_nnunet.errors import GeometryError
from pe_nnunet.roi.box import Box


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
