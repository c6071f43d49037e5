"""The slices of one DICOM series: their places in space, the order along the normal, and whether they form a volume.

Names, instance numbers and slice locations are never used: scanners and archives number freely. Positions are those of
PS3.3 C.7.6.2 (ImagePositionPatient, ImageOrientationPatient, PixelSpacing), in LPS mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom

from pe_nnunet.errors import GeometryError, Note

SAME_POSITION_MM = 0.01  # two slices nearer than this are at one position
ORTHONORMAL_TOLERANCE = 1e-3  # of direction cosines, which headers round
INCREMENT_TOLERANCE = (
    0.1  # share of the usual increment; positions rounded to 0.1 mm stay under it, a missing slice is 1
)
SHEAR_TOLERANCE_PIXELS = 0.5  # sideways drift over the whole stack


@dataclass(frozen=True)
class Slice:
    """One slice: a single-frame file, or one frame of a multi-frame file.

    Attributes:
        file: Where its pixels are.
        frame: Index in the file, from 0.
        sop_instance_uid: Of the file.
        position_mm: LPS position of the centre of the first pixel; None where the header lacks it.
        orientation: Direction cosines along a row, then along a column; None where the header lacks them.
        pixel_spacing_mm: Between rows, between columns; None where the header lacks it.
        thickness_mm: SliceThickness; None where the header lacks it.
        rows: Pixels in a column.
        columns: Pixels in a row.
    """

    file: Path
    frame: int
    sop_instance_uid: str
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    rows: int
    columns: int


@dataclass(frozen=True)
class Stack:
    """Slices in the order of the normal, by position, and the grid that they span.

    Attributes:
        positions: Per position the slices there; more than one where slices are doubled.
        spacing_mm: x (between columns), y (between rows), z (between slices).
        origin_mm: LPS position of the first voxel.
        direction: (3, 3), columns are the axes x, y, z.
        notes: What deserves a look.
    """

    positions: tuple[tuple[Slice, ...], ...]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: npt.NDArray[np.float64]
    notes: tuple[Note, ...]


def slices_of(dataset: pydicom.Dataset, file: Path) -> list[Slice]:
    """The slices in one file: one, or one per frame of a multi-frame file (PS3.3 C.7.6.16)."""
    frames = int(_number(dataset.get("NumberOfFrames")) or 1)
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    slices = []
    for frame in range(frames):
        own = per_frame[frame] if frame < len(per_frame) else None
        groups = [group for group in (own, shared) if group is not None]
        plain = [dataset] if frames == 1 else []
        slices.append(
            Slice(
                file=file,
                frame=frame,
                sop_instance_uid=str(dataset.get("SOPInstanceUID", "")),
                position_mm=_values(groups, plain, "PlanePositionSequence", "ImagePositionPatient", 3),
                orientation=_values(groups, plain, "PlaneOrientationSequence", "ImageOrientationPatient", 6),
                pixel_spacing_mm=_values(groups, plain, "PixelMeasuresSequence", "PixelSpacing", 2),
                thickness_mm=(_values(groups, [dataset], "PixelMeasuresSequence", "SliceThickness", 1) or (None,))[0],
                rows=int(_number(dataset.get("Rows")) or 0),
                columns=int(_number(dataset.get("Columns")) or 0),
            )
        )
    return slices


def stack_slices(slices: Sequence[Slice], case_id: str) -> Stack:
    """Sort slices along their normal and check that they lie on one regular grid.

    Args:
        slices: At least one, in any order.
        case_id: For messages.

    Returns:
        The stack; slices at one position stand together.

    Raises:
        GeometryError: PE-DCM-016 position, orientation or spacing missing or invalid; PE-DCM-007 size, orientation or
            spacing varies; PE-DCM-004 positions drift sideways; PE-DCM-001 slices missing.
    """
    _require_geometry(slices, case_id)
    _require_uniform(slices, case_id)
    direction = _direction(slices[0], case_id)
    normal = direction[:, 2]
    points = np.array([s.position_mm for s in slices], dtype=np.float64)
    along_mm = points @ normal
    order = np.argsort(along_mm, kind="stable")
    starts = np.flatnonzero(np.diff(along_mm[order], prepend=-np.inf) > SAME_POSITION_MM)
    positions = tuple(tuple(slices[i] for i in group) for group in np.split(order, starts[1:]))
    first = points[order[starts]]  # one point per position
    rows_mm, columns_mm = _spacing(slices[0])
    _require_upright(first, direction, min(rows_mm, columns_mm), case_id)
    increment_mm, notes = _increment(first, normal, slices[0], case_id)
    origin = tuple(float(v) for v in first[0])
    return Stack(positions, (columns_mm, rows_mm, increment_mm), (origin[0], origin[1], origin[2]), direction, notes)


def _require_geometry(slices: Sequence[Slice], case_id: str) -> None:
    for s in slices:
        missing = [
            name
            for name, value in (
                ("ImagePositionPatient", s.position_mm),
                ("ImageOrientationPatient", s.orientation),
                ("PixelSpacing", s.pixel_spacing_mm),
            )
            if value is None
        ]
        if s.pixel_spacing_mm is not None and min(s.pixel_spacing_mm) <= 0:
            missing.append("PixelSpacing above zero")
        if min(s.rows, s.columns) < 1:
            missing.append("Rows and Columns")
        if missing:
            raise GeometryError(
                "PE-DCM-016",
                f"{case_id}: {s.file.name} has no valid {', '.join(missing)}",
                "export the original series; a volume is never stacked by file name or number",
            )


def _require_uniform(slices: Sequence[Slice], case_id: str) -> None:
    first = slices[0]
    for s in slices[1:]:
        for name, mine, reference in (
            ("size (rows, columns)", (s.rows, s.columns), (first.rows, first.columns)),
            ("PixelSpacing", s.pixel_spacing_mm, first.pixel_spacing_mm),
            ("ImageOrientationPatient", s.orientation, first.orientation),
        ):
            if not np.allclose(mine, reference, rtol=ORTHONORMAL_TOLERANCE, atol=ORTHONORMAL_TOLERANCE):  # type: ignore[arg-type]
                raise GeometryError(
                    "PE-DCM-007",
                    f"{case_id}: {name} varies inside the series: {reference} in {first.file.name}, {mine} in {s.file.name}",
                    "split the series into uniform ones",
                )


def _direction(s: Slice, case_id: str) -> npt.NDArray[np.float64]:
    """Axes x, y, z as columns, made exactly orthonormal: headers round to a few digits."""
    cosines = np.array(s.orientation, dtype=np.float64).reshape(2, 3)
    if np.abs(cosines @ cosines.T - np.eye(2)).max() > ORTHONORMAL_TOLERANCE:
        raise GeometryError(
            "PE-DCM-016",
            f"{case_id}: ImageOrientationPatient {s.orientation} in {s.file.name} is no pair of perpendicular unit vectors",
            "export the original series",
        )
    along_row = cosines[0] / np.linalg.norm(cosines[0])
    along_column = cosines[1] - (cosines[1] @ along_row) * along_row
    along_column /= np.linalg.norm(along_column)
    return np.stack([along_row, along_column, np.cross(along_row, along_column)], axis=1)


def _require_upright(
    points: npt.NDArray[np.float64], direction: npt.NDArray[np.float64], pixel_mm: float, case_id: str
) -> None:
    offsets = points - points[0]
    sideways_mm = np.hypot(offsets @ direction[:, 0], offsets @ direction[:, 1])
    if sideways_mm.max() > SHEAR_TOLERANCE_PIXELS * pixel_mm:
        angle = math.degrees(math.atan2(sideways_mm[-1], abs(float(offsets[-1] @ direction[:, 2]))))
        raise GeometryError(
            "PE-DCM-004",
            f"{case_id}: slices drift sideways by {sideways_mm.max():.1f} mm (gantry tilt or shear of {angle:.1f} degrees), "
            "expected one stack along the slice normal",
            "resample it to an upright volume first",
        )


def _increment(
    points: npt.NDArray[np.float64], normal: npt.NDArray[np.float64], first: Slice, case_id: str
) -> tuple[float, tuple[Note, ...]]:
    """Distance between neighbouring slices in mm, with notes."""
    thickness_mm = first.thickness_mm
    if len(points) == 1:
        if thickness_mm is None or thickness_mm <= 0:
            raise GeometryError(
                "PE-DCM-016",
                f"{case_id}: one slice without SliceThickness: {first.file.name}",
                "export the whole series",
            )
        return thickness_mm, ()
    along_mm = points @ normal
    steps_mm = np.diff(along_mm)
    usual_mm = float(np.median(steps_mm))
    if len(steps_mm) < 3:  # a median of two increments would be their mean
        usual_mm = float(steps_mm.min())
    gaps = np.flatnonzero(steps_mm > 1.5 * usual_mm)
    if gaps.size:
        missing = int(np.rint(steps_mm[gaps] / usual_mm - 1).sum())
        at = points[gaps[0]]
        raise GeometryError(
            "PE-DCM-001",
            f"{case_id}: about {missing} slice(s) missing in {gaps.size} place(s): after the slice at "
            f"({at[0]:.1f}, {at[1]:.1f}, {at[2]:.1f}) mm the next is {steps_mm[gaps[0]]:.2f} mm away, expected {usual_mm:.2f}",
            "export the whole series again",
        )
    if np.abs(steps_mm - usual_mm).max() > max(INCREMENT_TOLERANCE * usual_mm, SAME_POSITION_MM):
        raise GeometryError(
            "PE-DCM-007",
            f"{case_id}: the distance between slices varies from {steps_mm.min():.3f} to {steps_mm.max():.3f} mm, expected one",
            "split the series where it changes, or resample it",
        )
    increment_mm = float((along_mm[-1] - along_mm[0]) / (len(points) - 1))
    if thickness_mm is not None and abs(thickness_mm - increment_mm) > INCREMENT_TOLERANCE * increment_mm:
        text = f"slices of {thickness_mm:g} mm thickness every {increment_mm:.3f} mm; positions decide the spacing"
        return increment_mm, (Note("PE-DCM-017", "warning", text),)
    return increment_mm, ()


def _spacing(s: Slice) -> tuple[float, float]:
    """Between rows, between columns, in mm; checked to be there before."""
    spacing = s.pixel_spacing_mm or (math.nan, math.nan)
    return spacing[0], spacing[1]


def _first(dataset: pydicom.Dataset, keyword: str) -> pydicom.Dataset | None:
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None


def _values(
    groups: Sequence[pydicom.Dataset], plain: Sequence[pydicom.Dataset], macro: str, keyword: str, count: int
) -> tuple[float, ...] | None:
    """Numbers of an element from the functional group macro of a multi-frame file, else from the data set itself."""
    for source in [*(item for group in groups if (item := _first(group, macro)) is not None), *plain]:
        value = source.get(keyword)
        if value is None or value == "":
            continue
        numbers = [_number(v) for v in (value if count > 1 else [value])] if not isinstance(value, str) else []
        if len(numbers) == count and all(n is not None and math.isfinite(n) for n in numbers):
            return tuple(n for n in numbers if n is not None)
    return None


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
