"""Ids of emboli as a DICOM Segmentation (PS3.3 A.51): one segment each, tied to the slices of their series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet import __version__
from pe_nnunet.volumes.dicom.derived import ContentUids, made_of_series, moment_of, reduced, remove_clock
from pe_nnunet.volumes.dicom.headers import text_of
from pe_nnunet.volumes.dicom.slice_positions import slices_of


@dataclass(frozen=True)
class Segment:
    """One embolus.

    Attributes:
        number: Its value in the labels; from 1 on without gaps.
        name: For people.
        tracking_id: Names it across files.
        text: What else is to be said of it.
    """

    number: int
    name: str
    tracking_id: str
    text: str = ""


@dataclass(frozen=True)
class Origin:
    """Who made the segmentation, and its identity.

    Attributes:
        command: Of pe-nnunet.
        algorithm: highdicom's identification of what found the emboli; None for people.
        series_description: For people.
        content_label: A code string.
        content_description: For people.
        series_number: Of the new series.
    """

    command: str
    algorithm: Any
    series_description: str
    content_label: str
    content_description: str
    series_number: int


def build_segmentation(
    labels: NDArray[Any],
    grid: sitk.Image,
    files: Sequence[Path],
    segments: Sequence[Segment],
    origin: Origin,
    what: str,
) -> Any:
    """The data set, to be saved.

    The patient and study are copied as far as the standard asks (identity, birth date, sex, study), and nothing else.
    UIDs follow from the content and dates are those of the study, so that the same emboli in the same slices give the
    same bytes, and anything else other UIDs.

    Args:
        labels: Numbers of the segments, (z, y, x), unsigned. Without any, the frames of all slices are empty.
        grid: Their geometry.
        files: The DICOM file of each slice, in the grid's order; one file many times for a multi-frame image. None for
            a scan that was resampled.
        segments: At least one: a segmentation without segments is not valid.
        origin: Who made it.
        what: How messages call the case.

    Raises:
        OutputError: PE-OUT-004 if the headers of the series do not allow one: a SEG names its slices by SOPInstanceUID,
            which each must have for itself.
    """
    with made_of_series(f"{what}: no DICOM SEG", "use the NIfTI file"):
        return _segmentation(labels, grid, files, segments, origin)


def _segmentation(
    labels: NDArray[Any], grid: sitk.Image, files: Sequence[Path], segments: Sequence[Segment], origin: Origin
) -> Any:
    from highdicom.seg import Segmentation

    sources, planes = slices_with_labels(files, grid, labels)
    algorithm = None if origin.algorithm is None else [item.to_json() for item in origin.algorithm]
    said = repr((planes.shape, list(segments), replace(origin, algorithm=algorithm)))
    pixels = np.ascontiguousarray(planes, np.uint16).tobytes()
    uids = ContentUids(pixels, *(source.to_json(suppress_invalid_tags=True) for source in sources), said)
    day, time = moment_of(sources[0])
    segmentation = Segmentation(
        source_images=sources,
        pixel_array=planes,
        segmentation_type="BINARY",
        segment_descriptions=[_description(segment, origin, uids) for segment in segments],
        series_instance_uid=uids.of("series"),
        series_number=origin.series_number,
        sop_instance_uid=uids.of("instance"),
        instance_number=1,
        manufacturer="pe-nnunet",
        manufacturer_model_name=f"pe-nnunet {origin.command}",
        software_versions=__version__,
        device_serial_number=__version__,
        series_description=origin.series_description,
        content_label=origin.content_label,
        content_description=origin.content_description,
        content_date=day,
        content_time=time,
        omit_empty_frames=bool(labels.any()),
    )
    remove_clock(segmentation)
    uids.replace_random(segmentation)
    return segmentation


def _description(segment: Segment, origin: Origin, uids: ContentUids) -> Any:
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    description = SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Embolus,
        algorithm_type="MANUAL" if origin.algorithm is None else "AUTOMATIC",
        algorithm_identification=origin.algorithm,
        tracking_uid=uids.of(segment.tracking_id),
        tracking_id=segment.tracking_id,
        anatomic_regions=[codes.SCT.PulmonaryArtery],
    )
    if segment.text:
        description.SegmentDescription = segment.text
    return description


def slices_with_labels(
    files: Sequence[Path], grid: sitk.Image, labels: NDArray[Any]
) -> tuple[list[pydicom.Dataset], NDArray[Any]]:
    """The slices that labels lie on, all if there are none, and the labels on them in the same order.

    Args:
        files: The DICOM file of each slice, in the grid's order; one file many times for a multi-frame image.
        grid: The geometry of the labels.
        labels: (z, y, x).

    Returns:
        Reduced headers and the planes that belong to them; one header with all its frames for a multi-frame image.

    Raises:
        ValueError: If there are no files, several multi-frame files make up the series, slices share a SOPInstanceUID,
            a header lacks an identity, or a frame lies beyond the labels.
    """
    if not files:
        raise ValueError("the scan was resampled, and no file holds the slices that it has now")
    if len(set(files)) == len(files):
        require_own_uids(files)
        used = np.flatnonzero(labels.any(axis=(1, 2))).tolist() or list(range(len(files)))
        return [reduced(files[z]) for z in used], labels[used]
    if len(set(files)) > 1:
        raise ValueError("the series is made of several multi-frame files")
    whole = reduced(files[0])
    frames = slices_of(whole, files[0])
    planes = np.zeros((len(frames), *labels.shape[1:]), labels.dtype)
    for plane, frame in zip(planes, frames, strict=True):
        z = round(grid.TransformPhysicalPointToContinuousIndex(frame.position_mm)[2])
        if not 0 <= z < len(labels):
            raise ValueError(f"frame {frame.frame + 1} lies beyond the slices of the labels")
        plane[:] = labels[z]
    return [whole], planes


def require_own_uids(files: Sequence[Path]) -> None:
    """Refuse a series some of whose slices share a SOPInstanceUID: a SEG could not say which of them it means.

    All slices count, not those with labels alone: an unlabelled one may be the twin.

    Args:
        files: One a slice.

    Raises:
        ValueError: If slices share one, or have none.
    """
    headers = [pydicom.dcmread(f, stop_before_pixels=True, specific_tags=["SOPInstanceUID"], force=True) for f in files]
    slices_of_uid = Counter(text_of(header, "SOPInstanceUID") for header in headers)
    if lacking := slices_of_uid.pop("", 0):
        raise ValueError(f"{lacking} of {len(files)} slices have no SOPInstanceUID")
    if shared := sum(count for count in slices_of_uid.values() if count > 1):
        raise ValueError(f"{shared} of {len(files)} slices share a SOPInstanceUID with another one")
