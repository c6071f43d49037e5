"""Regions of an RTSTRUCT as it stores them: which contours can be read, and what is said of the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom.headers import number_of, text_of, value_of

CLOSED, XOR = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
FEWEST_DECIMALS = 1  # whole numbers of millimetres are not rounded to millimetres: what they are is exact


@dataclass(frozen=True)
class Contour:
    """A closed contour.

    Attributes:
        points_mm: Corners (n, 3), LPS x y z, n above 0; the last is joined to the first.
        xor: It is combined with others of its region and slice by exclusive disjunction, not by union.
        decimals: Most digits that a coordinate has behind its point.
    """

    points_mm: npt.NDArray[np.float64]
    xor: bool
    decimals: int


@dataclass(frozen=True)
class Region:
    """The contours of one item of ROIContourSequence.

    Attributes:
        number: ROINumber.
        title: How messages name it.
    """

    number: int
    title: str
    contours: tuple[Contour, ...]


def roi_names(dataset: pydicom.Dataset) -> dict[int, str]:
    """Name of each region by its place in StructureSetROISequence: numbers may be missing, or there twice."""
    return {place: text_of(item, "ROIName") for place, item in enumerate(items_of(dataset, "StructureSetROISequence"))}


def require_regions(dataset: pydicom.Dataset, path: Path) -> None:
    """Refuse a structure set without regions and without contours: more likely it breaks off than that it is empty.

    Raises:
        InputError: PE-SEG-011 if it holds neither, and lacks one of the two sequences, which the standard wants.
    """
    keywords = ("StructureSetROISequence", "ROIContourSequence")
    whole = all(isinstance(value_of(dataset, keyword), pydicom.Sequence) for keyword in keywords)
    if not whole and not any(items_of(dataset, keyword) for keyword in keywords):
        text = f"{path.name} is damaged: it has no region and no contour, nor both of {' and '.join(keywords)}"
        raise InputError("PE-SEG-011", text, "export it again")


def items_of(dataset: pydicom.Dataset, keyword: str) -> list[pydicom.Dataset]:
    """Items of a sequence; none where it is absent or empty.

    Raises:
        InputError: PE-SEG-011 if it is there and cannot be decoded: what is lost with it could be an embolus.
    """
    try:
        value = dataset.get(keyword)
        items = list(value or ()) if isinstance(value, pydicom.Sequence) or not value else None
    except Exception:  # noqa: BLE001 - elements are decoded on access, and a damaged one fails in any way
        items = None
    if items is None:
        raise InputError("PE-SEG-011", f"its {keyword} is damaged: it cannot be decoded", "export it again")
    return items


def read_regions(
    dataset: pydicom.Dataset, places: Collection[int], path: Path
) -> tuple[list[Region], tuple[Note, ...]]:
    """Contours of those regions that are meant.

    Args:
        dataset: The whole RTSTRUCT.
        places: Of the regions in StructureSetROISequence.
        path: For messages.

    Returns:
        Regions in the order of their contours in the file, those without contours last; and what was left out
        (PE-SEG-005) or read though it is not as the standard has it (PE-SEG-006).

    Raises:
        InputError: PE-SEG-003 if a region has the number of one that is not meant.

    Source: PS3.3, C.8.8.5 and C.8.8.6.
    """
    rois = items_of(dataset, "StructureSetROISequence")
    number_at = [_whole_number(roi, "ROINumber") for roi in rois]
    titles: dict[int, str] = {}
    notes = []
    for place in places:
        number, name = number_at[place], text_of(rois[place], "ROIName")
        if number is None:
            notes.append(Note("PE-SEG-005", "warning", f"{path.name}: region {name!r} has no number: left out"))
        elif number in titles:
            titles[number] += f" or {name!r}"
            notes.append(Note("PE-SEG-006", "warning", f"{path.name}: {titles[number]} have one number: read as one"))
        else:
            titles[number] = f"region {name!r}" if name else f"region {number} (without a name)"
    strangers = {number for place, number in enumerate(number_at) if place not in places}
    for number in sorted(titles.keys() & strangers):
        raise InputError(
            "PE-SEG-003",
            f"{path.name} gives the number of {titles[number]} to another region too: whose contours are they?",
            "export it again, each region with a number of its own",
        )
    regions, lost = [], 0
    for item in items_of(dataset, "ROIContourSequence"):
        number, contours = _whole_number(item, "ReferencedROINumber"), items_of(item, "ContourSequence")
        if number in titles:
            region, found = _read_region(number, titles[number], contours)
            regions.append(region)
            notes += found
        elif number is None or number not in number_at:
            lost += len(contours)
    if lost:
        text = f"{path.name}: left out {lost} contours whose ReferencedROINumber is missing, or of no region"
        notes.append(Note("PE-SEG-005", "warning", text))
    bare = titles.keys() - {region.number for region in regions}
    return [*regions, *(Region(number, titles[number], ()) for number in sorted(bare))], tuple(notes)


def rounding_mm(regions: Iterable[Region]) -> float:
    """How far rounding to their last digit may have moved the corners of contours, in mm."""
    decimals = max((contour.decimals for region in regions for contour in region.contours), default=FEWEST_DECIMALS)
    return 0.5 * math.sqrt(3) * 10.0 ** -max(decimals, FEWEST_DECIMALS)


def _read_region(number: int, title: str, items: Iterable[pydicom.Dataset]) -> tuple[Region, list[Note]]:
    contours: list[Contour] = []
    left_out: Counter[str] = Counter()
    odd_kinds: Counter[tuple[str, str]] = Counter()
    miscounted = offset = 0
    for item in items:
        stored = text_of(item, "ContourGeometricType")
        kind = _kind(stored)
        if kind is None:
            left_out[stored or "without ContourGeometricType"] += 1
            continue
        data = _points(item)
        if isinstance(data, str):
            left_out[f"{stored} {data}"] += 1
            continue
        points_mm, decimals = data
        contours.append(Contour(points_mm, kind == XOR, decimals))
        if stored != kind:
            odd_kinds[stored, kind] += 1
        offset += value_of(item, "ContourOffsetVector") not in (None, "", [0, 0, 0])
        said = number_of(item, "NumberOfContourPoints")
        miscounted += said is not None and said != len(points_mm)
    notes = []
    if left_out:
        listed = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        text = f"{title}: left out {left_out.total()} of {left_out.total() + len(contours)} contours: {listed}"
        notes.append(Note("PE-SEG-005", "warning", text))
    for (stored, kind), count in odd_kinds.items():
        text = f"{title}: {count} contours of the kind {stored!r}, which DICOM does not know, read as {kind}"
        notes.append(Note("PE-SEG-006", "repaired", text))
    if offset:
        text = f"{title}: {offset} contours have a ContourOffsetVector, retired from DICOM: not applied"
        notes.append(Note("PE-SEG-006", "warning", text))
    if miscounted:
        text = f"{title}: NumberOfContourPoints of {miscounted} contours differs from ContourData, which is taken"
        notes.append(Note("PE-SEG-006", "warning", text))
    return Region(number, title, tuple(contours)), notes


def _kind(stored: str) -> str | None:
    """`CLOSED` or `XOR`, however it is spelled; None for points and open paths, which enclose nothing.

    Interpolated contours are those that a planning system put between drawn ones.

    Source: PS3.3, C.8.8.6.1.
    """
    letters = re.sub(r"[^A-Z]", "", stored.upper())
    if "PLANAR" not in letters or "NONPLANAR" in letters or "OPEN" in letters:
        return None
    return XOR if "XOR" in letters else CLOSED


def _points(item: pydicom.Dataset) -> tuple[npt.NDArray[np.float64], int] | str:
    """Corners (n, 3) and most decimals of a contour, or why it cannot be read."""
    try:
        value = item.get("ContourData")
        # Over 64 KiB, which an explicit representation of numbers cannot hold, they come as bytes (PS3.5, 6.2.2)
        if isinstance(value, bytes):
            value = value.decode("ascii").strip("\0 ").split("\\")
        texts = [str(v) for v in value] if isinstance(value, pydicom.multival.MultiValue | list) else [str(value)]
        if value is None or texts == [""]:
            return "without ContourData"
        numbers = np.array(texts, np.float64)
    except Exception:  # noqa: BLE001 - elements are decoded on access, and a damaged one fails in any way
        return "with values that are no numbers"
    if not np.isfinite(numbers).all():
        return "with values that are no numbers"
    if len(numbers) % 3:
        return f"with {len(numbers)} numbers, which are no triplets"
    exponents = (Decimal(text).as_tuple().exponent for text in texts)
    return numbers.reshape(-1, 3), max(-exponent for exponent in exponents if isinstance(exponent, int))


def _whole_number(dataset: pydicom.Dataset, keyword: str) -> int | None:
    value = number_of(dataset, keyword)
    return int(value) if value is not None and value.is_integer() else None
