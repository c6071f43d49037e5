"""Slices to a stack: sorted along their normal, and checked to lie on one regular grid.

Where it was asked for, slices that do not lie on one are brought there: a gantry tilt undone, a gap filled. Both
interpolate; otherwise such a series is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import GeometryError, Note
from pe_nnunet.volumes.dicom.increment import SAME_POSITION_MM, increment_of
from pe_nnunet.volumes.dicom.slice_positions import Slice
from pe_nnunet.volumes.geometry import ORTHONORMAL_TOLERANCE
from pe_nnunet.volumes.hounsfield import AIR_HU, Values

UNIFORM_TOLERANCE = 1e-3  # of direction cosines, and of spacing as a share: headers round
THICKNESS_TOLERANCE = 0.1  # share of the increment
SHEAR_TOLERANCE_PIXELS = 0.5  # sideways drift over the whole stack
ON_GRID = 0.1  # share of the increment that a slice may lie beside its place on the grid, as in a regular series

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stack:
    """Slices in the order of the normal, by position, and the grid that they span.

    Attributes:
        positions: Per position the slices there; more than one where slices are doubled.
        spacing_mm: x (between columns), y (between rows), z (between slices).
        origin_mm: LPS position of the first voxel.
        direction: (3, 3), columns are the axes x, y, z; right-handed.
        notes: What deserves a look.
        offsets: Of each slice, (slices, 3): its place along the normal in slices of the grid, from 0 on and rising; and
            how many pixels it lies towards higher rows and columns of the canvas, at least 0. None where all lie on the
            grid.
    """

    positions: tuple[tuple[Slice, ...], ...]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: npt.NDArray[np.float64]
    notes: tuple[Note, ...]
    offsets: Points | None = None

    @property
    def interpolated(self) -> tuple[int, ...]:
        """Indices of the slices of the grid at whose place there is none."""
        if self.offsets is None:
            return ()
        place = self.offsets[:, 0]
        depth = int(np.floor(place[-1] + ON_GRID)) + 1
        return tuple(z for z in range(depth) if np.abs(place - z).min() > ON_GRID)

    def resampled(self, hu: Values) -> Values:
        """Slices of HU, (slices, rows, columns), interpolated onto the grid: air where no slice reaches."""
        return hu if self.offsets is None else _fill_gaps(_unshear(hu, self.offsets[:, 1:]), self.offsets[:, 0])


def stack_slices(
    slices: Sequence[Slice], case_id: str, *, resample_gaps: bool = False, fix_tilt: bool = False
) -> Stack:
    """Sort slices along their normal and check that they lie on one regular grid.

    Args:
        slices: At least one, in any order.
        case_id: For messages.
        resample_gaps: Take a series with one gap of at most 10 mm, or with uneven distances; its slices are to be
            interpolated.
        fix_tilt: Take slices that drift sideways evenly, as under a gantry tilt; they are to be shifted.

    Returns:
        The stack; slices at one position stand together, in the order of their file names.

    Raises:
        GeometryError: PE-DCM-016 position, orientation or spacing missing or invalid; PE-DCM-007 size, orientation or
            spacing varies; PE-DCM-004 positions drift sideways; PE-DCM-001 slices missing.
    """
    slices = sorted(slices, key=lambda s: (s.file, s.frame))
    for s in slices:
        _require_complete(s, case_id)
        _require_alike(slices[0], s, case_id)
    rows_mm, columns_mm = slices[0].pixel_spacing_mm or ()
    direction = _direction(slices[0], case_id)
    points = np.array([s.position_mm for s in slices], dtype=np.float64)
    along_mm = points @ direction[:, 2]
    order = np.argsort(along_mm, kind="stable")
    starts = np.flatnonzero(np.diff(along_mm[order], prepend=-np.inf) > SAME_POSITION_MM)
    positions = tuple(tuple(slices[i] for i in group) for group in np.split(order, starts[1:]))
    firsts = points[order[starts]]
    sideways_mm, tilted = _sideways(firsts, direction, min(rows_mm, columns_mm), case_id, fix_tilt=fix_tilt)
    found: tuple[Note, ...] = ()
    resampled = False
    thickness_mm = slices[0].thickness_mm
    if len(firsts) == 1:
        if not thickness_mm or thickness_mm < 0:
            raise _incomplete(slices[0], "SliceThickness, which a single slice needs", case_id)
        increment_mm = thickness_mm
    else:
        increment_mm, found, resampled = increment_of(
            firsts, direction[:, 2], thickness_mm, case_id, resample_gaps=resample_gaps
        )
    notes = (*tilted, *found, *_thickness_notes(thickness_mm, increment_mm))
    offsets = None
    if tilted or resampled:
        place = (along_mm[order[starts]] - along_mm[order[0]]) / increment_mm
        offsets = np.stack([place, sideways_mm[:, 1] / rows_mm, sideways_mm[:, 0] / columns_mm], axis=1)
    x, y, z = (float(v) for v in firsts[0] - direction[:, :2] @ sideways_mm[0])
    return Stack(positions, (columns_mm, rows_mm, increment_mm), (x, y, z), direction, notes, offsets)


def _require_complete(s: Slice, case_id: str) -> None:
    fields = {
        "ImagePositionPatient": s.position_mm is not None,
        "ImageOrientationPatient": s.orientation is not None,
        "PixelSpacing": s.pixel_spacing_mm is not None and min(s.pixel_spacing_mm) > 0,
        "Rows and Columns": min(s.rows, s.columns) > 0,
    }
    missing = [name for name, there in fields.items() if not there]
    if missing:
        raise _incomplete(s, ", ".join(missing), case_id)


def _incomplete(s: Slice, what: str, case_id: str) -> GeometryError:
    return GeometryError(
        "PE-DCM-016",
        f"{case_id}: {s.file.name} has no valid {what}",
        "export the original series; a volume is never stacked by file name or number",
    )


def _require_alike(first: Slice, s: Slice, case_id: str) -> None:
    def close(a: tuple[float, ...] | None, b: tuple[float, ...] | None, tolerance: tuple[float, float]) -> bool:
        return a is not None and b is not None and np.allclose(a, b, rtol=tolerance[0], atol=tolerance[1])

    spacing = close(s.pixel_spacing_mm, first.pixel_spacing_mm, (UNIFORM_TOLERANCE, 0.0))
    orientation = close(s.orientation, first.orientation, (0.0, UNIFORM_TOLERANCE))
    sizes = (first.rows, first.columns), (s.rows, s.columns)
    for name, same, expected, got in (
        ("the size (rows, columns)", sizes[0] == sizes[1], *sizes),
        ("PixelSpacing", spacing, first.pixel_spacing_mm, s.pixel_spacing_mm),
        ("ImageOrientationPatient", orientation, first.orientation, s.orientation),
    ):
        if not same:
            raise GeometryError(
                "PE-DCM-007",
                f"{case_id}: {name} varies inside the series: {expected} in {first.file.name}, {got} in {s.file.name}",
                "take the slices of one size and place: --only KEYWORD=VALUE, or a folder of their own",
            )


def _direction(s: Slice, case_id: str) -> npt.NDArray[np.float64]:
    """Axes x, y, z as columns, made exactly orthonormal: headers round to a few digits."""
    cosines = np.array(s.orientation, dtype=np.float64).reshape(2, 3)
    if np.abs(cosines @ cosines.T - np.eye(2)).max() > ORTHONORMAL_TOLERANCE:
        raise _incomplete(s, f"ImageOrientationPatient (two perpendicular unit vectors), got {s.orientation}", case_id)
    along_row = cosines[0] / np.linalg.norm(cosines[0])
    along_column = cosines[1] - (cosines[1] @ along_row) * along_row
    along_column /= np.linalg.norm(along_column)
    return np.stack([along_row, along_column, np.cross(along_row, along_column)], axis=1)


def _sideways(
    points: Points, direction: npt.NDArray[np.float64], pixel_mm: float, case_id: str, *, fix_tilt: bool
) -> tuple[Points, list[Note]]:
    """Offsets of the slices along x and y from the corner of the canvas that holds all, 0 where they stand upright."""
    offsets = (points - points[0]) @ direction
    sideways_mm = np.hypot(offsets[:, 0], offsets[:, 1])
    worst = int(np.argmax(sideways_mm))
    if sideways_mm[worst] <= SHEAR_TOLERANCE_PIXELS * pixel_mm:
        return np.zeros((len(points), 2)), []
    angle = math.degrees(math.atan2(sideways_mm[worst], offsets[worst, 2]))
    text = f"slices drift sideways by {sideways_mm[worst]:.1f} mm (gantry tilt or shear of {angle:.1f} degrees)"
    even = np.outer(offsets[:, 2], offsets[-1, :2] / offsets[-1, 2])
    uneven_mm = float(np.abs(offsets[:, :2] - even).max())
    if not fix_tilt or uneven_mm > SHEAR_TOLERANCE_PIXELS * pixel_mm:
        raise GeometryError(
            "PE-DCM-004",
            f"{case_id}: {text}, expected a stack along the slice normal"
            + (f"; not evenly, by up to {uneven_mm:.1f} mm" if fix_tilt else ""),
            "export the series again" if fix_tilt else "--fix-tilt resamples it to an upright volume",
        )
    return even - even.min(axis=0), [Note("PE-DCM-027", "repaired", f"{text}: shifted upright, interpolated linearly")]


def _thickness_notes(thickness_mm: float | None, increment_mm: float) -> tuple[Note, ...]:
    if thickness_mm is None or abs(thickness_mm - increment_mm) <= THICKNESS_TOLERANCE * increment_mm:
        return ()
    text = f"slices {thickness_mm:g} mm thick every {increment_mm:.3f} mm: the positions decide the spacing"
    return (Note("PE-DCM-017", "warning", text),)


def _unshear(hu: Values, pixels: Points) -> Values:
    """Slices shifted back by so many rows and columns each, on a canvas that holds all."""
    if not pixels.any():
        return hu
    from scipy.ndimage import shift

    more = np.ceil(pixels.max(axis=0) - 1e-6).astype(int)
    canvas = np.empty((len(hu), hu.shape[1] + more[0], hu.shape[2] + more[1]), hu.dtype)
    for k, plane in enumerate(hu):
        padded = np.pad(plane.astype(np.float32), [(0, more[0]), (0, more[1])], constant_values=AIR_HU)
        moved = shift(padded, pixels[k], order=1, cval=AIR_HU)
        canvas[k] = np.rint(moved) if hu.dtype.kind == "i" else moved
    return canvas


def _fill_gaps(hu: Values, place: npt.NDArray[np.float64]) -> Values:
    """Slices at these places of a grid, and those between them interpolated linearly."""
    depth = int(np.floor(place[-1] + ON_GRID)) + 1
    if depth == len(hu) and np.abs(place - np.arange(depth)).max() <= ON_GRID:
        return hu
    grid = np.empty((depth, *hu.shape[1:]), hu.dtype)
    for z in range(depth):
        k = int(np.argmin(np.abs(place - z)))
        if abs(place[k] - z) <= ON_GRID:
            grid[z] = hu[k]
            continue
        after = int(np.searchsorted(place, z))
        share = (z - place[after - 1]) / (place[after] - place[after - 1])
        mixed = (1 - share) * hu[after - 1].astype(np.float32) + share * hu[after].astype(np.float32)
        grid[z] = np.rint(mixed) if hu.dtype.kind == "i" else mixed
    return grid
