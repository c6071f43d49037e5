"""The region of interest: the box around the lungs, with a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.roi.box import Box
from pe_nnunet.roi.lungs import Lungs, find_lungs
from pe_nnunet.volumes.geometry import spacing_zyx

BODY_ABOVE_HU = -300


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
    image_lps: sitk.Image, *, margin_mm: float = 10.0, on_no_lungs: Literal["error", "full-volume"] = "error"
) -> Roi:
    """Find the box that holds the lungs and what lies between them.

    A box, not the mask: central arteries lie between the lungs, and half of the clot with them. Where only one
    lung shows, the box spans the body's width, because an occluded side must not be cropped away.

    Args:
        image_lps: HU, axes in LPS order as `to_lps` gives them.
        margin_mm: Added on every side.
        on_no_lungs: `"full-volume"` searches everything, with a note, instead of raising.

    Returns:
        The region.

    Raises:
        InputError: PE-ROI-001 if there are no lungs.
    """
    shape = image_lps.GetSize()[::-1]
    try:
        lungs = find_lungs(image_lps)
    except InputError as error:
        if on_no_lungs == "error" or error.code != "PE-ROI-001":
            raise
        return Roi(Box.whole(shape), None, (Note("PE-ROI-003", "warning", "no lungs: the whole volume is searched"),))
    box = Box.around(sitk.GetArrayViewFromImage(lungs.mask))
    if box is None:  # find_lungs raises before
        raise InputError("PE-ROI-001", "no lungs in the image")
    box = box.grown(margin_mm, spacing_zyx(image_lps), shape)
    if lungs.one_sided:
        box = box.union(_across_body(image_lps, box))
    return Roi(box, lungs, lungs.notes)


def _across_body(image_lps: sitk.Image, box: Box) -> Box:
    """The box widened along x to the whole body at its height."""
    hu = sitk.GetArrayViewFromImage(image_lps)[box.start[0] : box.stop[0] : 2, ::2, ::2]
    body = cc3d.largest_k(np.ascontiguousarray(hu > BODY_ABOVE_HU), k=1, connectivity=6) > 0
    width = Box.around(body)
    if width is None:
        return box
    start, stop = max(0, 2 * width.start[2] - 1), min(image_lps.GetSize()[0], 2 * width.stop[2])
    return Box((*box.start[:2], start), (*box.stop[:2], stop))
