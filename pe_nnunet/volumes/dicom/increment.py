"""The distance between the slices of a stack: even, even but for rounding, with a gap, or uneven.

Headers round: positions to 0.1 mm or whole millimetres, or a table wavers. Such slices still lie on one grid, each
within half a step of the rounding of its place, or a tenth of the increment; the mean increment is then the true one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import GeometryError, Note

SAME_POSITION_MM = 0.01  # two slices nearer than this are at one position
WAVER_TOLERANCE = 0.1  # share of the increment that a slice may lie beside its place
MISSING_FROM = 1.5  # times the usual increment
CONFIRMED = 0.02  # share within which the slice thickness is the mean increment
MAX_GAP_MM = 10.0  # across more, interpolated slices are invented
_ROUNDED_TO_MM = (1.0, 0.5, 0.25, 0.1, 0.05)

Points = npt.NDArray[np.float64]


def increment_of(
    points: Points, normal: Points, thickness_mm: float | None, case_id: str, *, resample_gaps: bool
) -> tuple[float, tuple[Note, ...], bool]:
    """The distance between neighbouring slices.

    Args:
        points: Positions in mm, (slices, 3), at least two, sorted along the normal.
        normal: Unit vector.
        thickness_mm: SliceThickness, if there is one: it tells slices of rounded positions from missing ones.
        case_id: For messages.
        resample_gaps: Take one gap of at most 10 mm, or uneven distances, whose slices are to be interpolated.

    Returns:
        In mm, with notes, and whether the slices are to be interpolated.

    Raises:
        GeometryError: PE-DCM-001 slices missing, PE-DCM-007 uneven distances.
    """
    along_mm = points @ normal
    steps_mm = np.diff(along_mm)
    mean_mm = float((along_mm[-1] - along_mm[0]) / (len(points) - 1))
    usual_mm = float(np.median(steps_mm) if len(steps_mm) > 2 else steps_mm.min())  # of two, a median is the mean
    rounding_mm = _rounding(points) * float(np.abs(normal).sum())
    off_mm = _off_even(along_mm)
    even = off_mm <= max(WAVER_TOLERANCE * mean_mm, rounding_mm / 2 + 1e-6, SAME_POSITION_MM)
    gaps = np.flatnonzero(steps_mm > MISSING_FROM * usual_mm)
    if gaps.size and even and thickness_mm:
        off_mean_mm, off_usual_mm = abs(thickness_mm - mean_mm), abs(thickness_mm - usual_mm)
        if off_mean_mm <= CONFIRMED * mean_mm and 2 * off_mean_mm < off_usual_mm:
            gaps = gaps[:0]  # 1.25 mm rounded to whole ones: steps of 1 and 2 mm
    if gaps.size:
        return _across_gap(points, steps_mm, gaps, usual_mm, rounding_mm, case_id, resample_gaps=resample_gaps)
    if even:
        if off_mm <= SAME_POSITION_MM:
            return mean_mm, (), False
        beside_mm = np.abs(along_mm - along_mm[0] - mean_mm * np.arange(len(points))).max()
        text = (
            f"distances between slices of {steps_mm.min():.3f} to {steps_mm.max():.3f} mm, as positions are rounded or "
            f"waver: their mean, {mean_mm:.4f} mm, is taken; slices lie up to {beside_mm:.3f} mm beside their place"
        )
        return mean_mm, (Note("PE-DCM-031", "repaired", text),), False
    if resample_gaps and steps_mm.max() <= MAX_GAP_MM:
        text = f"uneven distances between slices, {steps_mm.min():.3f} to {steps_mm.max():.3f} mm: interpolated to "
        return usual_mm, (Note("PE-DCM-026", "repaired", f"{text}{usual_mm:.3f} mm"),), True
    raise _uneven(steps_mm, off_mm, mean_mm, case_id, resample_gaps=resample_gaps)


def _across_gap(
    points: Points,
    steps_mm: Points,
    gaps: npt.NDArray[np.intp],
    usual_mm: float,
    rounding_mm: float,
    case_id: str,
    *,
    resample_gaps: bool,
) -> tuple[float, tuple[Note, ...], bool]:
    missing = int(np.rint(steps_mm[gaps] / usual_mm - 1).sum())
    x, y, z = points[gaps[0]]
    place = f"after the slice at ({x:.1f}, {y:.1f}, {z:.1f}) mm: the next is {steps_mm[gaps[0]]:.2f} mm away"
    if not resample_gaps or gaps.size > 1 or steps_mm[gaps[0]] > MAX_GAP_MM:
        hint = "" if resample_gaps else f"; --resample-gaps fills one gap of up to {MAX_GAP_MM:g} mm"
        raise GeometryError(
            "PE-DCM-001",
            f"{case_id}: about {missing} slice(s) missing in {gaps.size} place(s), the first {place}, "
            f"expected {usual_mm:.2f}",
            "export the whole series again" + hint,
        )
    regular_mm = np.delete(steps_mm, gaps)
    off_mm = float(np.abs(regular_mm - usual_mm).max(initial=0))
    if off_mm > max(WAVER_TOLERANCE * usual_mm, rounding_mm, SAME_POSITION_MM):
        raise _uneven(steps_mm, off_mm, usual_mm, case_id, resample_gaps=resample_gaps)
    return float(regular_mm.mean()), (Note("PE-DCM-026", "repaired", f"{missing} slice(s) interpolated {place}"),), True


def _uneven(steps_mm: Points, off_mm: float, expected_mm: float, case_id: str, *, resample_gaps: bool) -> GeometryError:
    way_out = "export one reconstruction with even slices, or interpolate these with --resample-gaps"
    if resample_gaps:
        way_out = f"export even slices; only distances of up to {MAX_GAP_MM:g} mm, with no gap beside, are interpolated"
    return GeometryError(
        "PE-DCM-007",
        f"{case_id}: the distance between slices varies from {steps_mm.min():.3f} to {steps_mm.max():.3f} mm: "
        f"{off_mm:.3f} mm off even slices of {expected_mm:.3f} mm, which no rounding of positions explains",
        way_out,
    )


def _rounding(points: Points) -> float:
    """To what positions are rounded, in mm; 0 where they are finer than 0.05 mm."""
    for step_mm in _ROUNDED_TO_MM:
        if np.abs(points / step_mm - np.rint(points / step_mm)).max() < 1e-4:
            return step_mm
    return 0.0


def _off_even(along_mm: Points) -> float:
    """How far slices at these places lie at most beside even ones, in mm: the best, or any within 0.01 mm.

    Example:
        >>> round(_off_even(np.array([0.0, 2.0, 5.0, 7.0])), 3)  # 2.5 mm apart, rounded to whole ones
        0.25
    """
    places, steps_mm = np.arange(len(along_mm)), np.diff(along_mm)
    off_mm = float(np.ptp(along_mm - steps_mm.mean() * places)) / 2
    if off_mm <= SAME_POSITION_MM:  # the best even ones are no farther
        return off_mm
    from scipy.optimize import minimize_scalar  # of much memory, and for few series

    best = minimize_scalar(
        lambda step_mm: float(np.ptp(along_mm - step_mm * places)),
        bounds=(float(steps_mm.min()), float(steps_mm.max())),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(best.fun) / 2
