"""The lungs, the box around them, and the way into that box and back."""

from __future__ import annotations

from pe_nnunet.roi.hull import coarse_hull, lung_hull
from pe_nnunet.roi.lungs import Lungs, find_lungs
from pe_nnunet.roi.region import LungFinder, Roi, crop, find_roi, paste
from pe_nnunet.roi.suitability import scan_notes

__all__ = [
    "LungFinder",
    "Lungs",
    "Roi",
    "coarse_hull",
    "crop",
    "find_lungs",
    "find_roi",
    "lung_hull",
    "paste",
    "scan_notes",
]
