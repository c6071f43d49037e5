"""Images in and out: scans are found, read with their geometry, checked, and written."""

from __future__ import annotations

from pe_nnunet.volumes.dicom.dicom_writer import write_dicom_series
from pe_nnunet.volumes.files.image_writer import image_suffix, write_image
from pe_nnunet.volumes.files.volume_file import read_file
from pe_nnunet.volumes.find import find_scans
from pe_nnunet.volumes.geometry import from_lps, image_like, require_same_grid, spacing_zyx, to_lps
from pe_nnunet.volumes.label_grid import laid_on
from pe_nnunet.volumes.readers import empty_note, read_label, read_label_noted, read_scan, require_volume
from pe_nnunet.volumes.scan import DicomInfo, Scan, ScanRef
from pe_nnunet.volumes.seg.seg_reader import read_dicom_label

__all__ = [
    "DicomInfo",
    "Scan",
    "ScanRef",
    "empty_note",
    "find_scans",
    "from_lps",
    "image_like",
    "image_suffix",
    "laid_on",
    "read_dicom_label",
    "read_file",
    "read_label",
    "read_label_noted",
    "read_scan",
    "require_same_grid",
    "require_volume",
    "spacing_zyx",
    "to_lps",
    "write_dicom_series",
    "write_image",
]
