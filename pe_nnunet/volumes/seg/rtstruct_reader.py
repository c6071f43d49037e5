"""Labels as contours: regions of an RTSTRUCT (PS3.3 A.19) onto the grid of their scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.dicom.headers import text_of
from pe_nnunet.volumes.geometry import image_like
from pe_nnunet.volumes.scan import DicomInfo

OFF_SLICE_VOXELS = 0.1  # a contour further from the plane of its slice was drawn on another grid


def roi_names(dataset: pydicom.Dataset) -> dict[int, str]:
    """Name of each region by its number."""
    return {int(item.ROINumber): str(item.get("ROIName", "")) for item in dataset.get("StructureSetROISequence", ())}


def contour_mask(
    dataset: pydicom.Dataset, image: sitk.Image, dicom: DicomInfo, numbers: Sequence[int], path: Path
) -> sitk.Image:
    """Numbers of regions on the grid of their scan: voxels whose centre lies within a contour.

    A contour within another one of its region and slice is a hole, the usual reading of PS3.3 C.8.8.6.

    Args:
        dataset: The whole RTSTRUCT.
        image: The scan.
        dicom: Of the scan.
        numbers: Regions to take, at most 65,535.
        path: For messages.

    Raises:
        InputError: PE-SEG-002 for another frame of reference, PE-SEG-004 if a contour does not lie on a slice.
    """
    frames = {text_of(item, "ReferencedFrameOfReferenceUID") for item in dataset.get("StructureSetROISequence", ())}
    if frames - {dicom.frame_of_reference_uid, ""}:
        raise InputError("PE-SEG-002", f"{path.name} lies in another frame of reference", "give that of this series")
    ids = np.zeros(image.GetSize()[::-1], np.uint16)
    for region in dataset.get("ROIContourSequence", ()):
        if int(region.ReferencedROINumber) not in numbers:
            continue
        inside = np.zeros(ids.shape, bool)
        for contour in region.get("ContourSequence", ()):
            if text_of(contour, "ContourGeometricType").startswith("CLOSED_PLANAR"):
                _fill(inside, _voxel_coordinates(contour, image, path))
        ids[inside] = int(region.ReferencedROINumber)
    return image_like(ids, image)


def _voxel_coordinates(contour: pydicom.Dataset, image: sitk.Image, path: Path) -> npt.NDArray[np.float64]:
    """Corners of a contour as voxel indices, (n, 3) in order z, y, x, with z whole."""
    points_mm = np.array([float(value) for value in contour.get("ContourData", ())]).reshape(-1, 3)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    corners = (points_mm - np.array(image.GetOrigin())) @ direction / np.array(image.GetSpacing())
    z = np.rint(corners[:, 2])
    off = float(np.abs(corners[:, 2] - z).max(initial=0))
    if off > OFF_SLICE_VOXELS or np.ptp(z) > 0 or not 0 <= z[0] < image.GetSize()[2]:
        raise InputError(
            "PE-SEG-004",
            f"{path.name} has a contour that does not lie on a slice of the scan",
            "export it for this series, axial, or as NIfTI",
        )
    return np.column_stack([z, corners[:, 1], corners[:, 0]])


def _fill(inside: npt.NDArray[np.bool_], corners: npt.NDArray[np.float64]) -> None:
    from skimage.draw import polygon

    plane = inside[int(corners[0, 0])]
    rows, columns = polygon(corners[:, 1], corners[:, 2], plane.shape)
    plane[rows, columns] ^= True
