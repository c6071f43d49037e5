"""Labels as DICOM keeps them: segments of a SEG (PS3.3 A.51), or contours of an RTSTRUCT (PS3.3 A.19)."""

from __future__ import annotations

from pathlib import Path

import pydicom
import SimpleITK as sitk
from pydicom.uid import RTStructureSetStorage

from pe_nnunet.errors import InputError, Note, PEError
from pe_nnunet.volumes.dicom.declared_size import require_plausible_pixels
from pe_nnunet.volumes.dicom.deflated import inflated
from pe_nnunet.volumes.dicom.headers import looks_like_dicom, quiet_pydicom, text_of
from pe_nnunet.volumes.scan import DicomInfo, Scan
from pe_nnunet.volumes.seg.rtstruct_items import require_regions, roi_names
from pe_nnunet.volumes.seg.rtstruct_reader import contour_mask
from pe_nnunet.volumes.seg.seg_contents import SEGMENTATIONS, damaged, segment_names
from pe_nnunet.volumes.seg.segment_choice import chosen_segments
from pe_nnunet.volumes.seg.segment_mask import segment_mask


def read_dicom_label(path: Path, scan: Scan, *, names: str | None = None) -> tuple[sitk.Image, tuple[Note, ...]]:
    """Read a DICOM SEG or RTSTRUCT onto the grid of its scan.

    Args:
        path: The file.
        scan: A scan read from DICOM, the one that the label was drawn on.
        names: Which segments or regions to take, as a shell pattern for their names, upper or lower case. Without it
            all are taken, which must then be called alike but for numbers, for they may be of other things.

    Returns:
        Ids, uint16: the number of the region or segment, or the id that `pe-nnunet slices` gave it; 0 outside.

    Raises:
        InputError: PE-LBL-001 no such file, PE-IN-003 no DICOM, PE-SEG-001 neither of both kinds, PE-SEG-002 drawn on
            another series, PE-SEG-003 names that do not fit, PE-SEG-004 contours or frames that do not lie on slices.
    """
    if not path.is_file():
        raise InputError("PE-LBL-001", f"the label {path} does not exist", "check the path")
    with quiet_pydicom():
        try:
            plain = inflated(path, pixels=True)
            source = path if plain is None else plain
            # some archives leave the preamble out
            dataset = pydicom.dcmread(source, force=plain is None and looks_like_dicom(path))
        except InputError:
            raise
        except Exception as error:  # bytes that are no DICOM make the parser fail in any way
            reason = " ".join(str(error).split())
            raise InputError("PE-IN-003", f"{path} cannot be read as DICOM: {reason}", "fetch it again") from error
        if scan.dicom is None:
            raise InputError(
                "PE-SEG-002", f"{path.name} was drawn on a DICOM series, and the scan is none", "convert the DICOM"
            )
        kind = text_of(dataset, "SOPClassUID")
        bare = () if dataset.preamble else (Note("PE-DCM-015", "repaired", f"{path.name} has no DICOM preamble"),)
        if kind in SEGMENTATIONS:
            label, notes = _segments(dataset, scan.image, scan.dicom, names, path)
            return label, (*bare, *notes)
        if kind == RTStructureSetStorage:
            require_regions(dataset, path)
            places = chosen_segments(roi_names(dataset), names, path)
            label, notes = contour_mask(dataset, scan.image, scan.dicom, places, path)
            return label, (*bare, *notes)
    found = pydicom.uid.UID(kind, validation_mode=0).name or "of no known kind"
    raise InputError(
        "PE-SEG-001",
        f"{path.name} is {found}, expected a DICOM SEG or RTSTRUCT",
        "give the segmentation",
    )


def _segments(
    dataset: pydicom.Dataset, image: sitk.Image, dicom: DicomInfo, names: str | None, path: Path
) -> tuple[sitk.Image, tuple[Note, ...]]:
    """The chosen segments on the grid of the scan."""
    try:
        require_plausible_pixels(dataset, path.stat().st_size, path.name)
        numbers = chosen_segments(segment_names(dataset, path), names, path)
        return segment_mask(dataset, image, dicom, numbers, path)
    except (PEError, MemoryError):
        raise
    except Exception as error:  # elements are decoded on access, and a damaged one fails in any way
        raise damaged(path, error) from error
