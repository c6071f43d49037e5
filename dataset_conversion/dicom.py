"""Folders of DICOM series, with masks in any volume format beside them."""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import list_scans_with_masks
from pe_nnunet.dataset_conversion.sources import Listing, read_case

__all__ = ["find_cases", "read_case"]


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the DICOM series in a folder, at any depth, or by a pattern with `{case}`, with their masks."""
    return list_scans_with_masks(src, options, dicom=True)
