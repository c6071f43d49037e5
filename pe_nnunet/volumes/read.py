"""Read a found scan into Hounsfield units."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, Note
from pe_nnunet.volumes.dicom import FEWEST_SLICES_3D, read_dicom
from pe_nnunet.volumes.files import file_sha256, read_file
from pe_nnunet.volumes.hounsfield import replace_nan, replace_padding, require_hu
from pe_nnunet.volumes.scan import Scan, ScanRef


def read_scan(ref: ScanRef, *, assume_hu: bool = False) -> Scan:
    """Read a scan on its own grid, in HU, repaired where that is safe and refused where it is not.

    Args:
        ref: From `find_scans`.
        assume_hu: Take the values for HU without a DICOM rescale and without checking that they look like HU.

    Returns:
        The scan with its notes.

    Raises:
        InputError: With the code that says what is wrong; see the list of codes.
    """
    if ref.kind == "dicom":
        return read_dicom(ref, assume_hu=assume_hu)
    image, notes = read_file(ref.path)
    grown = list(notes)
    hu = _hu_type(sitk.GetArrayFromImage(image))
    if hu.dtype.kind == "f" and (count := replace_nan(hu, ref.case_id)):
        grown.append(Note("PE-NII-003", "repaired", f"{count} NaN or infinite voxels set to -1024 HU"))
    padded = replace_padding(hu)
    if padded:
        grown.append(Note("PE-NII-013", "repaired", f"{padded} voxels of padding set to -1024 HU"))
    if not assume_hu:
        require_hu(hu, padded, ref.case_id)
    if hu.shape[0] < FEWEST_SLICES_3D:
        grown.append(Note("PE-DCM-019", "warning", f"{hu.shape[0]} slice(s): for 2D models only, volumes mean little"))
    if hu.dtype.kind == "i":
        hu = hu.astype(np.int16)  # fits: padding lay outside -1500..32000
    result = sitk.GetImageFromArray(hu)
    result.CopyInformation(image)
    return Scan(ref.case_id, result, ref, tuple(grown), None, file_sha256(ref.path))


def require_volume(image: sitk.Image, what: str) -> None:
    """Check that an image has slices enough for a 3D model.

    Raises:
        GeometryError: PE-DCM-019 under four.
    """
    if image.GetSize()[2] < FEWEST_SLICES_3D:
        raise GeometryError(
            "PE-DCM-019",
            f"{what} has {image.GetSize()[2]} slice(s), expected at least {FEWEST_SLICES_3D}",
            "use a 2D model, or give the whole series",
        )


def _hu_type(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Whole numbers as int32 until padding is replaced, everything else as float32; always a copy of its own."""
    if array.dtype.kind in "iub":
        if array.dtype.itemsize > 2:
            array = np.clip(array, -(2**31) + 1, 2**31 - 1)
        return array.astype(np.int32)
    with np.errstate(over="ignore"):
        return array.astype(np.float32)
