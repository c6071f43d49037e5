"""Labels as contours: regions of an RTSTRUCT (PS3.3 A.19) onto the grid of their scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom.headers import text_of
from pe_nnunet.volumes.geometry import SAME_GRID_TOLERANCE_VOXELS, image_like
from pe_nnunet.volumes.readers import MAX_LABEL
from pe_nnunet.volumes.scan import DicomInfo
from pe_nnunet.volumes.seg.contour_filling import MAX_HOLLOW, MIN_RIM_PIXELS, Outline, fill
from pe_nnunet.volumes.seg.rtstruct_items import CLOSED, XOR, Region, items_of, read_regions, rounding_mm
from pe_nnunet.volumes.seg.seg_source import require_named_source

OFF_SLICE_MM = 0.1  # positions of slices and of contours may both be rounded to a tenth of a millimetre
ON_PATH_VOXELS = (1e-4, 0.2)  # at least, for arithmetic; at most, however coarsely contours are rounded
MAX_GAP_MM = 10.0  # between slices with contours; further apart are two emboli

Plane = npt.NDArray[np.bool_]


def contour_mask(
    dataset: pydicom.Dataset, image: sitk.Image, dicom: DicomInfo, places: Sequence[int], path: Path
) -> tuple[sitk.Image, tuple[Note, ...]]:
    """Regions on the grid of their scan: voxels whose centre lies within a contour or on it, see `fill`.

    Args:
        dataset: The whole RTSTRUCT.
        image: The scan.
        dicom: Of the scan.
        places: Of the regions to take, in StructureSetROISequence.
        path: For messages.

    Returns:
        Ids, uint16: the numbers of the regions, or from 1 where one of them is not from 1 to 65,535. And what was left
        out (PE-SEG-005), read by a rule (PE-SEG-006), or is missing (PE-SEG-007).

    Raises:
        InputError: PE-SEG-002 for another frame of reference, or another series where none is stated, PE-SEG-003 for
            numbers that are not unique, PE-SEG-004 if a contour does not lie on a slice.
    """
    _require_same_frame(dataset, dicom, places, path)
    regions, found = read_regions(dataset, places, path)
    notes = list(found)
    corners = [[_voxel_coordinates(contour.points_mm, image) for contour in region.contours] for region in regions]
    _require_on_slices([contour for of_region in corners for contour in of_region], image, path)
    at_least, at_most = ON_PATH_VOXELS
    tolerance = min(at_least + rounding_mm(regions) / min(image.GetSpacing()[:2]), at_most)
    id_of, renumbered = _ids(regions)
    ids = np.zeros(image.GetSize()[::-1], np.uint16)
    for region, of_region in zip(regions, corners, strict=True):
        planes, said = _planes(region, of_region, (ids.shape[1], ids.shape[2]), tolerance)
        notes += said + _gaps(region, planes, image.GetSpacing()[2])
        own, overlap = id_of[region.number], 0
        for z, plane in planes.items():
            overlap += int(np.count_nonzero((ids[z][plane] > 0) & (ids[z][plane] != own)))
            ids[z][plane] = own
        if overlap:
            text = f"{region.title}: {overlap} of its voxels lie in other regions too, and are taken for its own"
            notes.append(Note("PE-SEG-006", "warning", text))
    return image_like(ids, image), (*notes, *renumbered, *_without_voxels(regions, corners, id_of, ids))


def _require_same_frame(dataset: pydicom.Dataset, dicom: DicomInfo, places: Sequence[int], path: Path) -> None:
    """Refuse regions of another frame of reference; where none is stated, slices or series that are named decide."""
    rois = items_of(dataset, "StructureSetROISequence")
    given, expected = {text_of(rois[k], "ReferencedFrameOfReferenceUID") for k in places}, dicom.frame_of_reference_uid
    if expected and given - {expected, ""}:
        raise InputError("PE-SEG-002", f"{path.name} lies in another frame of reference", "give that of this series")
    if expected and "" not in given:
        return
    referenced = [
        series
        for frame in items_of(dataset, "ReferencedFrameOfReferenceSequence")
        for study in items_of(frame, "RTReferencedStudySequence")
        for series in items_of(study, "RTReferencedSeriesSequence")
    ]
    contoured = items_of(dataset, "ROIContourSequence")
    drawn = [contour for region in contoured for contour in items_of(region, "ContourSequence")]
    slices = [image for item in (*referenced, *drawn) for image in items_of(item, "ContourImageSequence")]
    uids = {text_of(image, "ReferencedSOPInstanceUID") for image in slices} - {""}
    series_uids = {text_of(series, "SeriesInstanceUID") for series in referenced} - {""}
    require_named_source(uids, series_uids, dicom, path, in_frame=False)


def _voxel_coordinates(points_mm: npt.NDArray[np.float64], image: sitk.Image) -> npt.NDArray[np.float64]:
    """Points in LPS mm as voxel indices, (n, 3) in order z, y, x."""
    direction = np.array(image.GetDirection()).reshape(3, 3)
    indices: npt.NDArray[np.float64] = (points_mm - np.array(image.GetOrigin())) @ direction / image.GetSpacing()
    return indices[:, ::-1]


def _require_on_slices(contours: Sequence[npt.NDArray[np.float64]], image: sitk.Image, path: Path) -> None:
    spacing_mm, slices = image.GetSpacing()[2], image.GetSize()[2]
    tolerance = min(max(SAME_GRID_TOLERANCE_VOXELS, OFF_SLICE_MM / spacing_mm), 0.25)
    counts: Counter[str] = Counter()
    for contour in contours:
        z = contour[:, 0]
        if np.ptp(z) > 2 * tolerance:
            counts["across the slices, as sagittal and coronal ones do"] += 1
        elif not -tolerance <= z.mean() <= slices - 1 + tolerance:
            counts["beyond the first or the last slice"] += 1
        elif np.abs(z - np.rint(z)).max() > tolerance:
            counts["between two slices"] += 1
    if counts:
        listed = ", ".join(f"{count} lie {where}" for where, count in counts.items())
        raise InputError(
            "PE-SEG-004",
            f"{path.name}: {counts.total()} of {len(contours)} contours do not lie on a slice of the scan: {listed}",
            "export it for this series, in the planes of its slices, or as NIfTI",
        )


def _ids(regions: Sequence[Region]) -> tuple[dict[int, int], list[Note]]:
    """Id in the label by the number of a region."""
    numbers = list(dict.fromkeys(region.number for region in regions))
    if all(0 < number <= MAX_LABEL for number in numbers):
        return {number: number for number in numbers}, []
    text = f"numbers of regions from {min(numbers)} to {max(numbers)}, 1 to {MAX_LABEL} expected: numbered anew from 1"
    return {number: k for k, number in enumerate(numbers, 1)}, [Note("PE-SEG-006", "repaired", text)]


def _planes(
    region: Region, corners: Sequence[npt.NDArray[np.float64]], shape: tuple[int, int], tolerance: float
) -> tuple[dict[int, Plane], list[Note]]:
    """The mask of a region on each slice that it has contours on, by the number of the slice."""
    outlines: dict[int, list[Outline]] = {}
    holes = united = mixed = beyond = 0
    for contour, points in zip(region.contours, corners, strict=True):
        in_plane = points[:, 1:]
        beyond += bool(((in_plane < -0.5 - tolerance) | (in_plane > np.array(shape) - 0.5 + tolerance)).any())
        outlines.setdefault(round(float(points[:, 0].mean())), []).append(Outline(in_plane, contour.xor))
    planes = {}
    for z in sorted(outlines):
        filled = fill(outlines[z], shape, tolerance)
        planes[z] = filled.mask
        holes += filled.holes
        united += filled.united
        mixed += len({outline.xor for outline in outlines[z]}) > 1
    notes = []
    if holes:
        text = f"{region.title}: {holes} {CLOSED} contours lie wholly within another one of their slice: read as holes"
        notes.append(Note("PE-SEG-006", "warning", text))
    if united:
        text = (
            f"{region.title}: {united} {CLOSED} contours within another one of their slice are united with it: within "
            f"{MIN_RIM_PIXELS:g} pixels of it, or over {MAX_HOLLOW:.0%} of it, they are not clearly holes"
        )
        notes.append(Note("PE-SEG-006", "warning", text))
    if mixed:
        text = f"{region.title}: {CLOSED} and {XOR} together on {mixed} slices: combined in the order stored"
        notes.append(Note("PE-SEG-006", "warning", text))
    if beyond:
        text = f"{region.title}: {beyond} of {len(corners)} contours reach beyond the edge of the image: cut off there"
        notes.append(Note("PE-SEG-007", "warning", text))
    return planes, notes


def _gaps(region: Region, planes: Mapping[int, Plane], spacing_mm: float) -> list[Note]:
    """A warning of slices without a contour between two that hold the same pixels."""
    steps = [
        upper - lower
        for lower, upper in pairwise(sorted(planes))
        if upper - lower > 1 and (upper - lower) * spacing_mm <= MAX_GAP_MM and (planes[lower] & planes[upper]).any()
    ]
    if not steps:
        return []
    text = (
        f"{region.title}: {sum(steps) - len(steps)} slices have no contour, though those on either side have "
        f"({len(planes)} have one): left empty; was it drawn on thicker slices?"
    )
    return [Note("PE-SEG-007", "warning", text)]


def _without_voxels(
    regions: Sequence[Region],
    corners: Sequence[Sequence[npt.NDArray[np.float64]]],
    id_of: Mapping[int, int],
    ids: npt.NDArray[np.uint16],
) -> list[Note]:
    """A warning of regions that are empty: without a contour, or too thin for any voxel, or covered by others."""
    used = {round(float(points[:, 0].mean())) for of_region in corners for points in of_region}
    present = {int(value) for z in used for value in np.unique(ids[z])}
    empty = list(dict.fromkeys(region.title for region in regions if id_of[region.number] not in present))
    if not empty:
        return []
    text = f"{len(empty)} of {len(id_of)} regions hold no voxel: " + ", ".join(empty[:8])
    return [Note("PE-SEG-007", "warning", text + (", ..." if len(empty) > 8 else ""))]
