"""Augmented RSPECT: boxes around emboli on the slices of 445 studies of RSPECT, for detectors.

    SRC/augmented_rspect.csv              one row a box: its slice, its artery, x, y, width, height in pixels
    SRC/train/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm

Converted are the studies of the table. A label holds filled boxes, one id for those that overlap from slice to slice,
so that the detector is trained on the boxes as they were drawn. They are no outlines: volumes and Dice mean little.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.dataset_conversion.boxes import Box2D, filled_boxes
from pe_nnunet.dataset_conversion.layout import existing, list_cases, one_scan, require_subfolder
from pe_nnunet.dataset_conversion.masks import CaseMasks
from pe_nnunet.dataset_conversion.options import ConvertOptions
from pe_nnunet.dataset_conversion.published import Published, differing_counts
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes, Listing, read_case_with, read_mask_file
from pe_nnunet.dataset_conversion.tables import number, read_table
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

    listing = list_cases([scans / study for study in sorted(series_of)], source_of, f"study in {TABLE}")
    counts = [("slices with boxes", len(images), PUBLISHED_IMAGES), ("boxes", boxes, PUBLISHED_BOXES)]
    return Listing(listing.cases, listing.errors, differing_counts(counts))


def read_case(source: CaseSource, options: ConvertOptions) -> CaseVolumes:
    """Read a study, its boxes filled; labels that others drew are read as they are."""
    if not source.own_label:
        return read_case_with(source, options, read_label=read_mask_file)
    return read_case_with(source, options, read_label=partial(_read_boxes, study=source.image.path.parent.name))


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
