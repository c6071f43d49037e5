"""Segmentations as 3D Slicer keeps them (`.seg.nrrd`): named segments, in several layers where they overlap.

Source:
    3D Slicer's developer guide, "Segmentation file format (.seg.nrrd)": the header says of each segment which layer it
    lies in and which value its voxels have there; files of Slicer 4 have a layer a segment and say neither.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.files.image_writer import SEGMENTATION_SUFFIX, image_suffix
from pe_nnunet.volumes.files.text_headers import NRRD_SUFFIXES, nrrd_header
from pe_nnunet.volumes.files.volume_file import read_layers
from pe_nnunet.volumes.geometry import image_like
from pe_nnunet.volumes.seg.segment_choice import chosen_segments

_KEY = re.compile(r"Segment(\d+)_(ID|Name|LabelValue|Layer)")
_FRACTIONAL = "fractional"
MAX_ID = 65535


@dataclass(frozen=True)
class SlicerSegment:
    """One segment.

    Attributes:
        number: From 1, in the order of the header.
        name: As a person gave it.
        layer: From 0.
        value: Of its voxels in the layer; None if it is all that is not 0 there.
    """

    number: int
    name: str
    layer: int
    value: int | None


def is_segmentation(path: Path) -> bool:
    """Whether a file is a segmentation of 3D Slicer, by its ending or, under another one, by the segments it names."""
    suffix = image_suffix(path)
    return suffix == SEGMENTATION_SUFFIX or (
        suffix in NRRD_SUFFIXES and path.is_file() and any(map(_KEY.fullmatch, nrrd_header(path)[1]))
    )


def read_segmentation(path: Path, names: str | None) -> tuple[sitk.Image, tuple[Note, ...]]:
    """Read a segmentation to one label on its own grid, which is often a part of the scan's.

    Args:
        path: The file.
        names: Which segments, a shell pattern for their names; see `chosen_segments`.

    Returns:
        Ids, uint16: the values of the segments where each has its own, else their numbers from 1. A voxel of several
        segments has the id of the first. PE-NII-017 says what was joined or left out.

    Raises:
        InputError: PE-SEG-003 names that do not fit; PE-NII-002 layers without names; PE-LBL-002 shares of voxels;
            PE-IN-003 a header that makes no sense; and what `read_file` raises.
    """
    pairs = nrrd_header(path)[1]
    if _FRACTIONAL in pairs.get("Segmentation_MasterRepresentation", "").lower():
        raise InputError(
            "PE-LBL-002", f"{path} holds shares of voxels (a fractional label map)", "export it as a binary label map"
        )
    layers, found = read_layers(path)
    segments = _segments(pairs, len(layers), path)
    if not segments:
        if len(layers) == 1:
            return layers[0], found
        raise InputError(
            "PE-NII-002",
            f"{path} holds {len(layers)} layers and does not say which segments lie in them",
            "save it anew in 3D Slicer, or export it as a binary label map",
        )
    numbers = chosen_segments({segment.number: segment.name for segment in segments}, names, path)
    ids, notes = _joined([sitk.GetArrayViewFromImage(layer) for layer in layers], segments, numbers)
    return image_like(ids, layers[0]), (*found, *notes)


def _segments(pairs: dict[str, str], layers: int, path: Path) -> list[SlicerSegment]:
    said: dict[int, dict[str, str]] = {}
    for key, text in pairs.items():
        match = _KEY.fullmatch(key)
        if match is not None:
            said.setdefault(int(match[1]), {})[match[2]] = text.strip()
    segments = []
    for k, texts in sorted(said.items()):
        try:
            layer = int(texts.get("Layer", k if layers > 1 else 0))
            value = int(texts["LabelValue"]) if "LabelValue" in texts else None
        except ValueError as error:
            raise InputError("PE-IN-003", f"{path} cannot be read: {error}", "save it anew in 3D Slicer") from error
        if value is None and layers == 1 and len(said) > 1:
            value = k + 1
        if not 0 <= layer < layers:
            raise InputError(
                "PE-IN-003", f"{path} has a segment in layer {layer} of {layers}", "save it anew in 3D Slicer"
            )
        segments.append(SlicerSegment(k + 1, texts.get("Name", texts.get("ID", "")), layer, value))
    return segments


def _joined(
    layers: Sequence[npt.NDArray[np.generic]], segments: Sequence[SlicerSegment], numbers: Sequence[int]
) -> tuple[npt.NDArray[np.uint16], list[Note]]:
    values = [segment.value for segment in segments]
    own = len(set(values)) == len(values) and all(value is not None and 0 < value <= MAX_ID for value in values)
    ids = np.zeros(layers[0].shape, np.uint16)
    several = 0
    for segment in segments:
        if segment.number in numbers:
            layer = layers[segment.layer]
            inside = layer != 0 if segment.value is None else layer == segment.value
            taken = inside & (ids > 0)
            several += int(np.count_nonzero(taken))
            ids[inside & ~taken] = segment.value if own and segment.value is not None else segment.number
    notes = []
    if len(layers) > 1:
        text = f"{len(layers)} layers with {len(numbers)} of {len(segments)} segments joined"
        notes.append(Note("PE-NII-017", "repaired", text + (f", {several} voxels are of several" if several else "")))
    strangers = sum(_of_no_segment(layer, k, segments) for k, layer in enumerate(layers))
    if strangers:
        text = f"{strangers} voxels have a value of no segment and are left out"
        notes.append(Note("PE-NII-017", "warning", text))
    return ids, notes


def _of_no_segment(layer: npt.NDArray[np.generic], place: int, segments: Sequence[SlicerSegment]) -> int:
    """How many voxels of a layer belong to no segment that the header names."""
    values = [segment.value for segment in segments if segment.layer == place]
    if None in values:
        return 0
    return int(np.count_nonzero(layer)) - int(np.count_nonzero(np.isin(layer, [v for v in values if v])))
