"""The lungs, the box around them, and the way into that box and back."""

from __future__ import annotations

from pe_nnunet.roi.box import Box, crop, paste
from pe_nnunet.roi.lungs import Lungs, find_lungs
from pe_nnunet.roi.region import LungFinder, Roi, find_roi, lung_hull

__all__ = ["Box", "LungFinder", "Lungs", "Roi", "crop", "find_lungs", "find_roi", "lung_hull", "paste"]
