"""Volumes to slices and back: DICOM series with segmentations, PNG slices with masks, NIfTI."""

from __future__ import annotations

from pe_nnunet.slices.export import Target, export, write_segmentation
from pe_nnunet.slices.png import read_png_scan, write_png_scan
from pe_nnunet.slices.scan_sources import LabelLookup, find_sources, read_source
from pe_nnunet.slices.slice_masks import read_label_of, read_png_masks, slice_names

__all__ = [
    "LabelLookup",
    "Target",
    "export",
    "find_sources",
    "read_label_of",
    "read_png_masks",
    "read_png_scan",
    "read_source",
    "slice_names",
    "write_png_scan",
    "write_segmentation",
]
