"""The files of a detection: a table for people, and JSON from which the detections can be read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pe_nnunet.detection.box_tubes import Detections, SliceBox, tube_of
from pe_nnunet.errors import InputError
from pe_nnunet.files import atomic_json, atomic_text, csv_text
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.volumes.geometry import lps_axes
from pe_nnunet.voxels import Box

SUFFIX = "_detections"
_COLUMNS = (
    "id", "confidence", "slices", "x", "y", "z", "x_min", "y_min", "z_min", "x_max", "y_max", "z_max",
    "z_start", "y_start", "x_start", "z_stop", "y_stop", "x_stop",
)  # fmt: skip


def box_on_own_grid(box: Box, image: sitk.Image) -> Box:
    """A box of the LPS version of an image (`to_lps`) on the image itself, whose axes may run otherwise.

    Args:
        box: On `to_lps(image)`.
        image: As it was read.
    """
    axes, flipped = lps_axes(image)
    start, stop = [0, 0, 0], [0, 0, 0]  # x, y, z of the image
    for patient_axis, (axis, turned) in enumerate(zip(axes, flipped, strict=True)):
        size = image.GetSize()[axis]
        low, high = box.start[2 - patient_axis], box.stop[2 - patient_axis]
        start[axis], stop[axis] = (size - high, size - low) if turned else (low, high)
    return Box.from_list([start[::-1], stop[::-1]])


def lps_extent(box: Box, image: sitk.Image) -> tuple[list[float], list[float], list[float]]:
    """Centre, least and greatest position of a box in LPS mm (x, y, z), whole voxels with their edges.

    Args:
        box: Voxels of the image.
        image: Gives the geometry.
    """
    low, high = np.array(box.start[::-1]) - 0.5, np.array(box.stop[::-1]) - 0.5
    corners = [
        image.TransformContinuousIndexToPhysicalPoint([float((low, high)[n >> axis & 1][axis]) for axis in range(3)])
        for n in range(8)
    ]
    centre = np.mean(corners, axis=0)
    return centre.tolist(), np.min(corners, axis=0).tolist(), np.max(corners, axis=0).tolist()


def write_detections(found: Detections, image: sitk.Image, folder: Path, case: str, facts: Mapping[str, Any]) -> None:
    """Write `<case>_detections.csv`, then `<case>_detections.json`.

    Args:
        found: In voxels of the LPS version of the image.
        image: As it was read.
        folder: Where to.
        case: Case id.
        facts: How it was made: notes, source, detector, timings.

    Raises:
        OutputError: If a file cannot be written.
    """
    atomic_text(folder / f"{case}{SUFFIX}.csv", detections_csv(found, image))
    atomic_json(folder / f"{case}{SUFFIX}.json", detections_json(found, image, case, facts))


def detections_csv(found: Detections, image: sitk.Image) -> str:
    """The table for people, one line an embolus; arguments as for `write_detections`."""
    rows = []
    for number, tube in enumerate(found.emboli, 1):
        own = box_on_own_grid(tube.box, image)
        places = [f"{mm:.2f}" for part in lps_extent(own, image) for mm in part]
        rows.append([number, f"{tube.confidence:.4f}", len(tube.slices), *places, *own.start, *own.stop])
    return csv_text(_COLUMNS, rows)


def detections_json(found: Detections, image: sitk.Image, case: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `read_detections` reads, in JSON's types; arguments as for `write_detections`."""
    lungs = None
    if found.lungs is not None:
        own = box_on_own_grid(found.lungs, image)
        _, least, greatest = lps_extent(own, image)
        lungs = {"box_zyx": own.to_list(), "least_lps_mm": least, "greatest_lps_mm": greatest}
    return {
        "case": case,
        "lungs": lungs,
        "emboli": len(found.emboli),
        **facts,
        "lps_grid": {
            "shape_zyx": list(_lps_shape(image)),
            "lungs": found.lungs and found.lungs.to_list(),
            "tubes": [[list(astuple(box)) for box in tube.slices] for tube in found.emboli],
        },
    }


def read_detections(path: Path) -> Detections:
    """Read what `write_detections` wrote.

    Args:
        path: `<case>_detections.json`.

    Returns:
        In voxels of the LPS version of the image; notes are not read.

    Raises:
        InputError: PE-DET-013 if it is no such file.
    """
    try:
        grid = read_object(path)["lps_grid"]
        depth = int(grid["shape_zyx"][0])
        if not all(int(z) == z and 0 <= z < depth for boxes in grid["tubes"] for z, *_ in boxes):
            raise ValueError("its boxes lie outside of its slices")
        tubes = [
            tube_of([SliceBox(int(z), *map(float, rest)) for z, *rest in boxes], grid["shape_zyx"])
            for boxes in grid["tubes"]
        ]
        lungs = Box.from_list(grid["lungs"]) if grid["lungs"] else None
        numbers = [n for tube in tubes if tube is not None for box in tube.slices for n in astuple(box)]
        if not np.isfinite(numbers).all() or len(grid["shape_zyx"]) != 3:
            raise ValueError("its boxes are no boxes")
        return Detections(lungs, tuple(tube for tube in tubes if tube is not None))
    except MALFORMED as error:
        raise InputError("PE-DET-013", f"{path} cannot be read: {why(error)}", "run pe-nnunet detect again") from error


def _lps_shape(image: sitk.Image) -> tuple[int, int, int]:
    """(z, y, x) of the LPS version of an image."""
    x, y, z = (image.GetSize()[axis] for axis in lps_axes(image)[0])
    return z, y, x
