"""Labels as DICOM keeps them: a SEG on the slices that it was drawn on (PS3.3 A.51), or an RTSTRUCT (PS3.3 A.19)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom.headers import quiet_pydicom, text_of
from pe_nnunet.volumes.geometry import image_like
from pe_nnunet.volumes.readers import MAX_LABEL
from pe_nnunet.volumes.scan import DicomInfo, Scan
from pe_nnunet.volumes.seg.rtstruct_items import roi_names
from pe_nnunet.volumes.seg.rtstruct_reader import contour_mask
from pe_nnunet.volumes.seg.segment_choice import chosen_segments


def segment_names(dataset: pydicom.Dataset) -> dict[int, str]:
    """Name of each segment by its number; 0 is the background of a label map."""
    segments = dataset.get("SegmentSequence", ())
    return {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in segments if item.SegmentNumber}


def tracking_id(embolus: int) -> str:
    """How a segment of ours says which embolus it is: numbers of segments have no gaps, ids of emboli may."""
    return f"embolus {embolus}"


def segment_ids(dataset: pydicom.Dataset) -> dict[int, int]:
    """Id of each segment by its number: that of `tracking_id`, in a SEG in which every segment has one, else itself."""
    texts = {int(item.SegmentNumber): str(item.get("TrackingID", "")) for item in dataset.get("SegmentSequence", ())}
    ids = {number: int(text[8:]) for number, text in texts.items() if re.fullmatch(r"embolus [1-9]\d{0,4}", text)}
    if len(set(ids.values())) == len(texts) and max(ids.values(), default=0) <= MAX_LABEL:
        return ids
    return {number: number for number in texts}


def segment_mask(
    dataset: pydicom.Dataset, image: sitk.Image, dicom: DicomInfo, numbers: Sequence[int], path: Path
) -> sitk.Image:
    """Ids of segments on the grid of their scan, see `segment_ids`; a slice without a frame has none.

    Args:
        dataset: The whole SEG.
        image: The scan.
        dicom: Of the scan.
        numbers: Segments to take.
        path: For messages.

    Raises:
        InputError: PE-SEG-002 if it refers to other slices, PE-SEG-004 if segments overlap, are fractional, or its
            frames do not lie pixel on pixel over the slices.
    """
    from highdicom.seg import Segmentation

    uids = dicom.sop_instance_uids
    if not uids:
        raise InputError("PE-SEG-004", f"{path.name}: its scan was resampled", "bring the label onto it as NIfTI")
    one_file = len(uids) > 1 and len(set(uids)) == 1
    if len(set(uids)) != len(uids) and not one_file:
        raise InputError("PE-SEG-004", f"{path.name}: its scan is several multi-frame files", "export it as NIfTI")
    drawn = _referenced(dataset)
    strangers = drawn - set(uids)
    if not drawn or strangers:
        raise InputError(
            "PE-SEG-002",
            f"{path.name} refers to {len(strangers)} slices that are not of this series"
            if drawn
            else f"{path.name} names no slices that it was drawn on",
            "give the segmentation of this series",
        )
    try:
        seg = Segmentation.from_dataset(dataset, copy=False)
        used = [k for k, uid in enumerate(uids) if uid in drawn]
        chosen: dict[str, Any] = {"segment_numbers": list(numbers), "combine_segments": True}
        chosen |= {"assert_missing_frames_are_empty": True, "dtype": np.uint16}
        if one_file:  # frames are counted from 1 in references
            frames = [dicom.frames[k] + 1 for k in used]
            planes = seg.get_pixels_by_source_frame(uids[0], frames, **chosen)
        else:
            planes = seg.get_pixels_by_source_instance([uids[k] for k in used], **chosen)
    except (ValueError, RuntimeError, AttributeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            "PE-SEG-004", f"{path.name} cannot be laid on its scan: {reason}", "export it again"
        ) from error
    rows, columns = image.GetSize()[1], image.GetSize()[0]
    if planes.shape[1:] != (rows, columns):
        raise InputError(
            "PE-SEG-004",
            f"{path.name} has frames of {planes.shape[1:]}, its slices are {(rows, columns)}",
            "resample it",
        )
    of_number = segment_ids(dataset)
    table = np.zeros(max(of_number) + 1, np.uint16)
    table[list(of_number)] = list(of_number.values())
    ids = np.zeros(image.GetSize()[::-1], np.uint16)
    ids[used] = table[planes]
    return image_like(ids, image)


def _referenced(dataset: pydicom.Dataset) -> set[str]:
    """SOPInstanceUIDs of the slices under the frames."""
    shared = dataset.get("SharedFunctionalGroupsSequence", ())
    return {
        str(source.ReferencedSOPInstanceUID)
        for group in (*shared, *dataset.get("PerFrameFunctionalGroupsSequence", ()))
        for derivation in group.get("DerivationImageSequence", ())
        for source in derivation.get("SourceImageSequence", ())
    }


# Label maps, in the standard since 2024, hold one value a voxel and may be compressed; pydicom 3.0 has no name for it
_SEGMENTATIONS = frozenset({SegmentationStorage, "1.2.840.10008.5.1.4.1.1.66.7"})


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
            another series, PE-SEG-003 names or numbers that do not fit, PE-SEG-004 contours or frames that do not lie
            on slices.
    """
    if not path.is_file():
        raise InputError("PE-LBL-001", f"the label {path} does not exist", "check the path")
    with quiet_pydicom():
        try:
            dataset = pydicom.dcmread(path)
        except Exception as error:  # bytes that are no DICOM make the parser fail in any way
            raise InputError("PE-IN-003", f"{path} cannot be read as DICOM: {error}", "fetch it again") from error
        if scan.dicom is None:
            raise InputError(
                "PE-SEG-002", f"{path.name} was drawn on a DICOM series, and the scan is none", "convert the DICOM"
            )
        kind = text_of(dataset, "SOPClassUID")
        if kind in _SEGMENTATIONS:
            numbers = chosen_segments(segment_names(dataset), names, path)
            return segment_mask(dataset, scan.image, scan.dicom, numbers, path), ()
        if kind == RTStructureSetStorage:
            places = chosen_segments(roi_names(dataset), names, path)
            return contour_mask(dataset, scan.image, scan.dicom, places, path)
    raise InputError(
        "PE-SEG-001",
        f"{path.name} is {pydicom.uid.UID(kind).name or 'of no known kind'}, expected a DICOM SEG or RTSTRUCT",
        "give the segmentation",
    )
