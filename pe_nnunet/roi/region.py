"""The region of interest: the box around the lungs, with a margin; into it and back onto the whole grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cc3d
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.roi.lungmask import find_lungs_by_lungmask
from pe_nnunet.roi.lungs import Lungs, find_lungs
from pe_nnunet.volumes.geometry import lps_axes, spacing_zyx
from pe_nnunet.volumes.lps_arrays import own_view
from pe_nnunet.voxels import Box

LungFinder = Literal["density", "lungmask"]
BODY_ABOVE_HU = -300
SLAB_SLICES = 16  # that are pasted at once


@dataclass(frozen=True)
class Roi:
    """Where to look for emboli.

    Attributes:
        box: In array order (z, y, x) of the image.
        lungs: None where there are none and the whole volume is searched.
        notes: All notes, those of the lungs included.
    """

    box: Box
    lungs: Lungs | None
    notes: tuple[Note, ...]


def find_roi(
    image_lps: sitk.Image,
    *,
    margin_mm: float = 10.0,
    on_no_lungs: Literal["error", "full-volume"] = "error",
    finder: LungFinder = "density",
    lungmask_weights: Path | None = None,
) -> Roi:
    """Find the box that holds the lungs and what lies between them.

    A box, not the mask: central arteries lie between the lungs, and half of the clot with them. Where only one
    lung shows, the box spans the body's width, because an occluded side must not be cropped away; where the bases of
    both look dense, it goes further down and to the back.

    Args:
        image_lps: HU, axes in LPS order as `to_lps` gives them.
        margin_mm: Added on every side.
        on_no_lungs: `"full-volume"` searches everything, with a note, instead of raising.
        finder: `"density"`, our own; or `"lungmask"`, that package, where it and its weights are there.
        lungmask_weights: For lungmask; see `find_lungs_by_lungmask`.

    Returns:
        The region.

    Raises:
        InputError: PE-ROI-001 if there are no lungs.
        MissingExtraError: PE-ROI-006 without lungmask.
        ConfigurationError: PE-ROI-007 without its weights.
    """
    shape = image_lps.GetSize()[::-1]
    try:
        by_density = finder == "density"
        lungs = find_lungs(image_lps) if by_density else find_lungs_by_lungmask(image_lps, lungmask_weights)
    except InputError as error:
        if on_no_lungs == "error" or error.code != "PE-ROI-001":
            raise
        return Roi(Box.whole(shape), None, (Note("PE-ROI-003", "warning", "no lungs: the whole volume is searched"),))
    box = Box.around(sitk.GetArrayViewFromImage(lungs.mask))
    if box is None:  # find_lungs raises before
        raise InputError("PE-ROI-001", "no lungs in the image")
    box = box.grown(margin_mm, spacing_zyx(image_lps), shape)
    if lungs.missing_below_mm:
        box = _to_dense_bases(image_lps, box, lungs.missing_below_mm)
    if lungs.one_sided:
        box = box.union(_body_at(image_lps, box, axis=2))
    return Roi(box, lungs, lungs.notes)


def _to_dense_bases(image_lps: sitk.Image, box: Box, further_mm: float) -> Box:
    """The box further down, and to the body's back: fluid and dense lung lie lowest in a patient on the back."""
    down = math.ceil(further_mm / image_lps.GetSpacing()[2])
    lower = Box((max(0, box.start[0] - down), *box.start[1:]), box.stop)
    back = _body_at(image_lps, lower, axis=1).stop[1]
    return Box(lower.start, (lower.stop[0], max(lower.stop[1], back), lower.stop[2]))


def _body_at(image_lps: sitk.Image, box: Box, *, axis: int) -> Box:
    """The box with its extent along an axis changed to that of the body at its height."""
    hu = sitk.GetArrayViewFromImage(image_lps)[box.start[0] : box.stop[0] : 2, ::2, ::2]
    body = cc3d.largest_k(np.ascontiguousarray(hu > BODY_ABOVE_HU), k=1, connectivity=6) > 0
    extent = Box.around(body)
    if extent is None:
        return box
    start, stop = list(box.start), list(box.stop)
    start[axis] = max(0, 2 * extent.start[axis] - 1)
    stop[axis] = min(image_lps.GetSize()[2 - axis], 2 * extent.stop[axis])
    return Box.from_list([start, stop])


def crop(image: sitk.Image, box: Box) -> sitk.Image:
    """Cut a box out of an image; every voxel keeps its place in space.

    Args:
        image: Any image.
        box: In array order (z, y, x), within the image.

    Raises:
        GeometryError: PE-GEO-001 if the box reaches outside.
    """
    _require_within(box, image.GetSize()[::-1])
    return sitk.RegionOfInterest(image, box.shape[::-1], box.start[::-1])


def paste(part_lps: NDArray[Any], box: Box, like: sitk.Image, fill: float = 0) -> sitk.Image:
    """Put a part of the LPS version of an image onto the image's own grid.

    Slab by slab, so that of a large map there is one copy.

    Args:
        part_lps: (z, y, x) in LPS axes, of the box's shape.
        box: Where it was cut out of `to_lps(like)`, in array order (z, y, x).
        like: The image on the whole grid, of any axes.
        fill: The value outside the box.

    Returns:
        An image of the part's type on `like`'s grid.

    Raises:
        GeometryError: PE-GEO-001 if part, box and grid do not fit together.
    """
    _require_within(box, tuple(like.GetSize()[axis] for axis in reversed(lps_axes(like)[0])))
    if part_lps.shape != box.shape:
        raise GeometryError(
            "PE-GEO-001", f"a part of shape {part_lps.shape} (z, y, x) does not fit a box of {box.shape}"
        )
    part, held = own_view(part_lps, box, like)
    whole = sitk.Image(like.GetSize(), sitk.GetImageFromArray(part[:1, :1, :1]).GetPixelID())
    whole.CopyInformation(like)
    if fill:
        whole += fill
    z, y, x = held.slices
    for first in range(0, len(part), SLAB_SLICES):
        slab = np.ascontiguousarray(part[first : first + SLAB_SLICES])
        start = z.start + first
        whole[x, y, start : start + len(slab)] = sitk.GetImageFromArray(slab)
    return whole


def _require_within(box: Box, shape: tuple[int, ...]) -> None:
    if any(b > n for b, n in zip(box.stop, shape, strict=True)):
        raise GeometryError(
            "PE-GEO-001", f"the box {box.start} to {box.stop} reaches outside an image of {shape} (z, y, x)"
        )
