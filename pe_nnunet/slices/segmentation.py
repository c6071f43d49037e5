"""A mask as DICOM SEG: one segment an embolus, each frame tied to its slice by SOPInstanceUID (PS3.3 A.51)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import generate_uid

from pe_nnunet import __version__
from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.volumes import atomic_path
from pe_nnunet.volumes.seg import tracking_id


def write_segmentation(label: sitk.Image, slices: Sequence[Path], path: Path, *, algorithm: str | None = None) -> None:
    """Write ids as a DICOM SEG of the series that they belong to.

    Segments must be numbered without gaps, so that the id of an embolus is kept in TrackingID, from which it is read
    again. Patient and study are those of the slices.

    Args:
        label: Ids on the grid of the series. Without any, the SEG has one segment with empty frames.
        slices: The DICOM file of each slice, in the order of the label.
        path: The file.
        algorithm: The program that made the mask; None for one drawn by people.

    Raises:
        GeometryError: PE-GEO-001 if there is not one file a slice.
        InputError: PE-SEG-004 if the slices lack what a SEG needs of them.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    from highdicom.seg import Segmentation, SegmentationTypeValues

    ids = sitk.GetArrayFromImage(label)
    if len(slices) != len(ids) or len(set(slices)) != len(slices):
        raise GeometryError(
            "PE-GEO-001",
            f"{path.name}: {len(set(slices))} DICOM files for {len(ids)} slices, one each expected",
            "multi-frame files take their label as NIfTI",
        )
    values = np.unique(ids[ids > 0]).tolist() or [1]
    numbers = np.searchsorted([0, *values], ids).astype(np.uint8 if len(values) < 256 else np.uint16)
    datasets = [pydicom.dcmread(file, stop_before_pixels=True) for file in slices]
    seeds = [datasets[0].SeriesInstanceUID, hashlib.sha256(ids.tobytes()).hexdigest(), algorithm or ""]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of texts that the slices have, and of empty frames
            seg = Segmentation(
                source_images=datasets,
                pixel_array=numbers,
                segmentation_type=SegmentationTypeValues.BINARY,
                segment_descriptions=[
                    _description(number, value, seeds, algorithm) for number, value in enumerate(values, 1)
                ],
                series_instance_uid=generate_uid(entropy_srcs=[*seeds, "series"]),
                sop_instance_uid=generate_uid(entropy_srcs=[*seeds, "instance"]),
                series_number=int(datasets[0].get("SeriesNumber") or 0) + 100,
                instance_number=1,
                manufacturer="pe-nnunet",
                manufacturer_model_name="pe-nnunet slices",
                software_versions=__version__,
                device_serial_number=__version__,
                series_description="Emboli",
                omit_empty_frames=bool(numbers.any()),
            )
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError("PE-SEG-004", f"{path.name}: no SEG of these slices: {reason}", "use NIfTI") from error
    with atomic_path(path) as temporary:
        seg.save_as(temporary)


def _description(number: int, value: int, seeds: Sequence[str], algorithm: str | None) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    return SegmentDescription(
        segment_number=number,
        segment_label=f"Embolus {value}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Embolus,
        algorithm_type="MANUAL" if algorithm is None else "AUTOMATIC",
        algorithm_identification=None
        if algorithm is None
        else AlgorithmIdentificationSequence(algorithm, codes.DCM.ArtificialIntelligence, __version__),
        tracking_uid=generate_uid(entropy_srcs=[*seeds, str(value)]),
        tracking_id=tracking_id(value),
    )
