"""A mask as DICOM SEG: one segment an embolus, its id kept in TrackingID."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk

from pe_nnunet import __version__
from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.files import atomic_path
from pe_nnunet.volumes.seg.seg_reader import tracking_id
from pe_nnunet.volumes.seg.seg_writer import UNSUITABLE, Origin, Segment, build_segmentation


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
    ids = sitk.GetArrayFromImage(label)
    if len(slices) != len(ids) or len(set(slices)) != len(slices):
        raise GeometryError(
            "PE-GEO-001",
            f"{path.name}: {len(set(slices))} DICOM files for {len(ids)} slices, one each expected",
            "multi-frame files take their label as NIfTI",
        )
    values = np.unique(ids[ids > 0]).tolist() or [1]
    numbers = np.searchsorted([0, *values], ids).astype(np.uint8 if len(values) < 256 else np.uint16)
    segments = [Segment(number, f"Embolus {value}", tracking_id(value)) for number, value in enumerate(values, 1)]
    first = pydicom.dcmread(slices[0], stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SeriesNumber"])
    try:
        origin = Origin(
            command="slices",
            algorithm=None if algorithm is None else _algorithm(algorithm),
            series_description="Emboli",
            content_label="PULMONARY_EMBOLI",
            content_description="Pulmonary emboli",
            series_number=int(first.get("SeriesNumber") or 0) + 100,
            seeds=[first.SeriesInstanceUID, hashlib.sha256(ids.tobytes()).hexdigest(), algorithm or ""],
        )
        segmentation = build_segmentation(numbers, label, slices, segments, origin)
    except UNSUITABLE as error:
        reason = " ".join(str(error).split())
        raise InputError("PE-SEG-004", f"{path.name}: no SEG of these slices: {reason}", "use NIfTI") from error
    with atomic_path(path) as temporary:
        segmentation.save_as(temporary)


def _algorithm(name: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    return AlgorithmIdentificationSequence(name, codes.cid7162.ArtificialIntelligence, __version__)
