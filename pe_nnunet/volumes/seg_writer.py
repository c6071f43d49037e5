"""Ids of emboli as a DICOM Segmentation (PS3.3 A.51): one segment each, tied to the slices of their series."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from pe_nnunet import __version__
from pe_nnunet.volumes.dicom_headers import quiet_pydicom
from pe_nnunet.volumes.seg_sources import slices_with_labels

UNSUITABLE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What `build_segmentation` raises for a series that allows no SEG."""


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
        seeds: Make the UIDs; equal ones the same UIDs. None: new ones each time.
    """

    command: str
    algorithm: Any
    series_description: str
    content_label: str
    content_description: str
    series_number: int
    seeds: Sequence[str] | None = None

    def uid(self, what: str) -> str:
        """A UID for a part of the file."""
        return str(generate_uid(entropy_srcs=None if self.seeds is None else [*self.seeds, what]))


def build_segmentation(
    labels: NDArray[Any], grid: sitk.Image, files: Sequence[Path], segments: Sequence[Segment], origin: Origin
) -> Any:
    """The data set, to be saved.

    The patient and study are copied as far as the standard asks (identity, birth date, sex, study), and nothing else.

    Args:
        labels: Numbers of the segments, (z, y, x), unsigned. Without any, the frames of all slices are empty.
        grid: Their geometry.
        files: The DICOM file of each slice, in the grid's order; one file many times for a multi-frame image.
        segments: At least one: a segmentation without segments is not valid.
        origin: Who made it.

    Raises:
        UNSUITABLE: If the headers of the series do not allow one.
    """
    with quiet_pydicom(), warnings.catch_warnings(), disable_value_validation():
        warnings.filterwarnings("ignore", module="highdicom")  # of names without a caret, of empty frames, and the like
        from highdicom.seg import Segmentation

        sources, planes = slices_with_labels(files, grid, labels)
        return Segmentation(
            source_images=sources,
            pixel_array=planes,
            segmentation_type="BINARY",
            segment_descriptions=[_description(segment, origin) for segment in segments],
            series_instance_uid=origin.uid("series"),
            series_number=origin.series_number,
            sop_instance_uid=origin.uid("instance"),
            instance_number=1,
            manufacturer="pe-nnunet",
            manufacturer_model_name=f"pe-nnunet {origin.command}",
            software_versions=__version__,
            device_serial_number=__version__,
            series_description=origin.series_description,
            content_label=origin.content_label,
            content_description=origin.content_description,
            omit_empty_frames=bool(labels.any()),
        )


def _description(segment: Segment, origin: Origin) -> Any:
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    description = SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Embolus,
        algorithm_type="MANUAL" if origin.algorithm is None else "AUTOMATIC",
        algorithm_identification=origin.algorithm,
        tracking_uid=origin.uid(segment.tracking_id),
        tracking_id=segment.tracking_id,
        anatomic_regions=[codes.SCT.PulmonaryArtery],
    )
    if segment.text:
        description.SegmentDescription = segment.text
    return description
