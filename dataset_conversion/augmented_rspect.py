"""Augmented RSPECT: boxes around emboli on the slices of 445 studies of RSPECT, for detectors.

    SRC/augmented_rspect.csv              one row a box: its slice, its artery, x, y, width, height in pixels
    SRC/train/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm

Converted are the studies of the table. A label holds filled boxes, one id for those that overlap from slice to slice,
so that the detector is trained on the boxes as they were drawn. They are no outlines: volumes and Dice mean little.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.dataset_conversion import sources
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import CaseMasks, cases_at, one_scan
from pe_nnunet.dataset_conversion.public_dataset import (
    Published,
    differing_counts,
    existing,
    number,
    read_table,
    require_subfolder,
)
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes, Listing
from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes import Scan, image_like

PUBLISHED = Published(cases=445)
TABLE = "augmented_rspect.csv"
PUBLISHED_IMAGES, PUBLISHED_BOXES = 14_865, 30_243
_STUDY, _SERIES, _SLICE, _ARTERY = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Artery"
_PIXELS = ("x", "y", "width", "height")


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the studies of the table.

    Raises:
        InputError: PE-CONV-027 if the table cannot be used.
    """
    scans, masks = require_subfolder(src, "Augmented RSPECT", "train"), CaseMasks(options)
    table = existing(src / TABLE, scans.parent / TABLE) if src != scans.parent else src / TABLE
    series_of: dict[str, str] = {}
    images, boxes = set(), 0
    for row in read_table(table or src / TABLE, (_STUDY, _SERIES, _SLICE)):
        if not all(re.fullmatch(r"\w[\w.-]*", row[key]) for key in (_STUDY, _SERIES)):
            raise InputError("PE-CONV-027", f"{TABLE}: {row[_STUDY]}/{row[_SERIES]} are no UIDs", "fetch it again")
        if series_of.setdefault(row[_STUDY], row[_SERIES]) != row[_SERIES]:
            raise InputError("PE-CONV-027", f"{TABLE}: study {row[_STUDY]} has boxes on two series", "fetch it again")
        images.add(row[_SLICE])
        boxes += 1

    def source_of(case: str, path: Path) -> CaseSource:
        ref = one_scan(path / series_of[path.name], case, options)
        return masks.source(ref, f"{scans.name}/{path.name}", own_label=table)

    listing = cases_at([scans / study for study in sorted(series_of)], source_of, f"study in {TABLE}")
    counts = [("slices with boxes", len(images), PUBLISHED_IMAGES), ("boxes", boxes, PUBLISHED_BOXES)]
    return replace(listing, notes=differing_counts(counts))


def read_case(source: CaseSource, options: ConvertOptions) -> CaseVolumes:
    """Read a study, its boxes filled; labels that others drew are read as they are."""
    reader = partial(_read_boxes, study=source.image.path.parent.name) if source.own_label else None
    return sources.read_case(source, options, reader)


def _read_boxes(
    path: Path, scan: Scan, role: str, _options: ConvertOptions, *, study: str
) -> tuple[sitk.Image, list[Note]]:
    uids = scan.dicom.sop_instance_uids if scan.dicom is not None else ()
    slice_of = {uid: z for z, uid in enumerate(uids)}
    columns, rows, depth = scan.image.GetSize()
    boxes: dict[int, list[Box2D]] = defaultdict(list)
    cut = 0
    for row in read_table(path, (_STUDY, _SLICE, _ARTERY, *_PIXELS)):
        if row[_STUDY] != study:
            continue
        if row[_SLICE] not in slice_of:
            raise InputError(
                "PE-CONV-035", f"{path.name} has a box on slice {row[_SLICE]}, which the scan lacks", "fetch the scan"
            )
        x, y, width, height = (number(row[key], f"{path.name}, {key}") for key in _PIXELS)
        box = Box2D(row[_ARTERY], x, y, width, height)
        inside = width > 0 and height > 0 and x < columns and y < rows and x + width > 0 and y + height > 0
        if not inside:
            raise InputError(
                "PE-CONV-035",
                f"{path.name} has a box of {width:g}x{height:g} at ({x:g}, {y:g}) on an image of {columns}x{rows}",
                "correct the table",
            )
        cut += min(x, y) < 0 or x + width > columns or y + height > rows
        boxes[slice_of[row[_SLICE]]].append(box)
    notes = [Note("PE-CONV-036", "warning", f"{role}: boxes, not outlines: for detectors")]
    if cut:
        notes.append(Note("PE-CONV-035", "repaired", f"{role}: {cut} boxes reached beyond the image and were cut"))
    return image_like(filled_boxes(boxes, (depth, rows, columns)), scan.image), notes


@dataclass(frozen=True)
class Box2D:
    """A box on a slice.

    Attributes:
        group: Boxes of different groups are never of one embolus: the name of an artery.
        x: Column of its left edge, in pixels.
        y: Row of its upper edge.
        width: Columns.
        height: Rows.
    """

    group: str
    x: float
    y: float
    width: float
    height: float

    def slices(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the pixels that it touches, within an image of this shape."""
        rows, columns = shape
        top, left = max(0, math.floor(self.y)), max(0, math.floor(self.x))
        bottom, right = math.ceil(self.y + self.height), math.ceil(self.x + self.width)
        return slice(min(top, rows), max(0, min(rows, bottom))), slice(min(left, columns), max(0, min(columns, right)))

    def overlap(self, other: Box2D) -> float:
        """Intersection over union."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        common = max(0.0, width) * max(0.0, height)
        return common / (self.width * self.height + other.width * other.height - common)


def filled_boxes(boxes: Mapping[int, Sequence[Box2D]], shape: tuple[int, int, int]) -> npt.NDArray[np.uint16]:
    """Ids of emboli: boxes that overlap from slice to slice are of one.

    Where boxes of one slice overlap, the smaller one lies on top.

    Args:
        boxes: By slice.
        shape: (z, y, x).

    Example:
        >>> filled_boxes({0: [Box2D("a", 1, 0, 2, 1)], 1: [Box2D("a", 2, 0, 1, 1)]}, (2, 1, 4)).tolist()
        [[[0, 1, 1, 0]], [[0, 0, 1, 0]]]
    """
    ids = np.zeros(shape, np.uint16)
    count = 0
    above: list[tuple[Box2D, int]] = []
    for z in sorted(boxes):
        if z - 1 not in boxes:
            above = []
        here: list[tuple[Box2D, int]] = []
        taken: set[int] = set()
        for box in sorted(boxes[z], key=lambda b: -b.width * b.height):
            embolus = _same(box, ((other, k) for other, k in above if k not in taken))
            if embolus is None:
                embolus = count = count + 1
            taken.add(embolus)
            here.append((box, embolus))
            ids[z][box.slices(shape[1:])] = embolus
        above = here
    return ids


def _same(box: Box2D, above: Iterable[tuple[Box2D, int]]) -> int | None:
    """The embolus that a box goes on with, by the greatest overlap."""
    found = [(box.overlap(other), k) for other, k in above if other.group == box.group and box.overlap(other) > 0]
    return max(found)[1] if found else None
