"""Grids: the same grid or not, arrays onto a grid, and the way to LPS axes and back without interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, Note

SAME_GRID_TOLERANCE_VOXELS = 0.1  # headers of one grid differ by rounding only; half a voxel is already another grid


def spacing_zyx(image: sitk.Image) -> tuple[float, float, float]:
    """Spacing in mm, in the order of the array's axes (z, y, x)."""
    x_mm, y_mm, z_mm = image.GetSpacing()
    return float(z_mm), float(y_mm), float(x_mm)


def image_like(array_zyx: npt.NDArray[np.generic], like: sitk.Image) -> sitk.Image:
    """Put an array onto the grid of an image.

    Args:
        array_zyx: (z, y, x), the shape of `like`'s array; booleans become uint8.
        like: The image that gives origin, spacing and direction.

    Returns:
        A new image on `like`'s grid.

    Raises:
        GeometryError: PE-GEO-001 if the shapes differ.
    """
    shape = like.GetSize()[::-1]
    if array_zyx.shape != shape:
        raise GeometryError(
            "PE-GEO-001", f"an array of shape {array_zyx.shape} (z, y, x) does not fit a grid of {shape}"
        )
    whole = np.ascontiguousarray(array_zyx)
    image = sitk.GetImageFromArray(whole.view(np.uint8) if whole.dtype == bool else whole)
    image.CopyInformation(like)
    return image


def require_same_grid(image: sitk.Image, label: sitk.Image, what: str) -> None:
    """Check that two images lie on one grid: the same size, and the same place to a tenth of a voxel at every corner.

    Args:
        image: The reference.
        label: The image that must match it.
        what: How the message names the second one, for example `"the label of case a"`.

    Raises:
        GeometryError: PE-GEO-001 for another size, PE-GEO-002 for the same size in another place or orientation.
    """
    if image.GetSize() != label.GetSize():
        raise GeometryError(
            "PE-GEO-001",
            f"{what} has size {label.GetSize()} (x, y, z), the image {image.GetSize()}",
            "resample it onto the image's grid, or check that it belongs to this image",
        )
    away_mm = np.linalg.norm(corners_lps(image) - corners_lps(label), axis=1).max()
    if not away_mm <= SAME_GRID_TOLERANCE_VOXELS * min(image.GetSpacing()):
        raise GeometryError(
            "PE-GEO-002",
            f"{what} lies up to {away_mm:.2f} mm from the image: "
            f"spacing {_short(label.GetSpacing())} against {_short(image.GetSpacing())}, "
            f"origin {_short(label.GetOrigin())} against {_short(image.GetOrigin())}, "
            f"direction {_short(label.GetDirection())} against {_short(image.GetDirection())} (x, y, z, LPS mm)",
            "check that it belongs to this image and that its header was not lost in a conversion",
        )


def corners_lps(image: sitk.Image) -> npt.NDArray[np.float64]:
    """Positions of the eight corner voxels' centres: (8, 3), LPS mm, x y z."""
    last = [n - 1 for n in image.GetSize()]
    return np.array(
        [
            image.TransformContinuousIndexToPhysicalPoint(
                [bit * n for bit, n in zip((i & 1, i >> 1 & 1, i >> 2), last, strict=True)]
            )
            for i in range(8)
        ]
    )


def lps_axes(image: sitk.Image) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which image axis runs nearest to each of the patient's axes, and which of them must be turned round.

    Of the six assignments the one that follows the direction cosines best as a whole, so that each image axis is used
    once however oblique the image is.

    Returns:
        For the patient's axes left, posterior, superior: the image axis (0 x, 1 y, 2 z), and whether it is flipped.
    """
    direction = np.array(image.GetDirection()).reshape(3, 3)  # [patient axis, image axis]
    # rounded, so that what a header's digits leave undecided is decided alike for every copy of a grid
    best = max(permutations(range(3)), key=lambda order: round(sum(abs(direction[i, order[i]]) for i in range(3)), 6))
    axes = (best[0], best[1], best[2])
    return axes, (
        bool(direction[0, axes[0]] < 0),
        bool(direction[1, axes[1]] < 0),
        bool(direction[2, axes[2]] < 0),
    )


def to_lps(image: sitk.Image) -> sitk.Image:
    """Bring an image's axes into the order and sense that is nearest to left, posterior, superior.

    Axes are permuted and flipped, no voxel is interpolated and none moves in space; an oblique image stays oblique.

    Returns:
        An image whose array index (z, y, x) grows towards superior, posterior, left: the image itself where it does so
        already, as a view of an image that shares its voxels with another one copies them all.
    """
    axes, flipped = lps_axes(image)
    permuted = sitk.PermuteAxes(image, axes) if axes != (0, 1, 2) else image
    return sitk.Flip(permuted, list(flipped), flipAboutOrigin=False) if any(flipped) else permuted


def from_lps(image_in_lps: sitk.Image, like: sitk.Image) -> sitk.Image:
    """Undo `to_lps`: bring an image from the LPS version of a grid back onto that grid.

    Args:
        image_in_lps: An image of any pixel type on the grid of `to_lps(like)`.
        like: The image on the original grid.

    Returns:
        The same voxels on `like`'s grid, whose origin, spacing and direction are copied bit by bit; the image itself
        where it lies on that grid.

    Raises:
        GeometryError: PE-GEO-001 if the sizes do not correspond.
    """
    axes, flipped = lps_axes(like)
    if image_in_lps.GetSize() != tuple(like.GetSize()[axis] for axis in axes):
        raise GeometryError(
            "PE-GEO-001",
            f"an image of size {image_in_lps.GetSize()} is not the LPS version of a grid of {like.GetSize()}",
        )
    turned = sitk.Flip(image_in_lps, list(flipped), flipAboutOrigin=False) if any(flipped) else image_in_lps
    places = [axes.index(axis) for axis in range(3)]
    image = sitk.PermuteAxes(turned, places) if places != [0, 1, 2] else turned
    if _same_header(image, like):
        return image
    placed = sitk.Image(image) if image is image_in_lps else image
    placed.CopyInformation(like)
    return placed


def _same_header(one: sitk.Image, other: sitk.Image) -> bool:
    return bool(
        one.GetOrigin() == other.GetOrigin()
        and one.GetSpacing() == other.GetSpacing()
        and one.GetDirection() == other.GetDirection()
    )


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.5g}" for v in values) + ")"


ORTHONORMAL_TOLERANCE = 1e-3
POSSIBLE_SPACING_MM = (1e-4, 30.0)  # from a header in metres to more than any slice is thick
ROUNDING = 1e-5  # of float32 headers and of quaternions: mended without a word


def deviation(matrix: npt.NDArray[np.float64]) -> float:
    """The largest difference between the normalised columns' dot products and the identity; infinite for a null column.

    Example:
        >>> deviation(np.diag([2.0, 2.0, 5.0]))
        0.0
    """
    norms = np.linalg.norm(matrix, axis=0)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        return float("inf")
    unit = matrix / norms
    return float(np.abs(unit.T @ unit - np.eye(3)).max())


def require_spacing(spacing_mm: Sequence[float], what: str, code: str = "PE-NII-007") -> None:
    """Check that voxels have a size that voxels of a scan can have.

    Headers in metres are below any CT, and no scan has voxels of several centimetres: resampling by either would take
    all of the memory, or leave nothing.

    Args:
        spacing_mm: Along the axes, in any order.
        what: Case or file, for the message.
        code: Of the error.

    Raises:
        GeometryError: If one is not above 1e-4 and up to 30 mm.
    """
    low, high = POSSIBLE_SPACING_MM
    if not all(low <= mm <= high for mm in spacing_mm):
        shown = ", ".join(f"{mm:g}" for mm in spacing_mm)
        raise GeometryError(
            code, f"{what} has voxels of {shown} mm, expected {low:g} to {high:g}", "correct the header"
        )


MOST_DISTANT_MM = 1e5


def require_place(origin_mm: Sequence[float], what: str, code: str = "PE-NII-007") -> None:
    """Check that a volume lies where a scanner could have been.

    Beyond that, positions in millimetres no longer tell one voxel from the next.

    Args:
        origin_mm: Of the first voxel.
        what: Case or file, for the message.
        code: Of the error.

    Raises:
        GeometryError: If it lies more than 100 m from the origin along an axis, or nowhere.
    """
    if not all(abs(mm) <= MOST_DISTANT_MM for mm in origin_mm):
        shown = ", ".join(f"{mm:g}" for mm in origin_mm)
        raise GeometryError(
            code,
            f"{what} lies at {shown} mm, expected at most {MOST_DISTANT_MM:g} from the origin",
            "correct the header",
        )


def orthonormal(direction: npt.NDArray[np.float64], path: Path) -> tuple[npt.NDArray[np.float64], tuple[Note, ...]]:
    """The nearest orthonormal matrix, with a note where that changes more than rounding does.

    Raises:
        GeometryError: PE-NII-006 if the columns are off by more than 1e-3.
    """
    off = deviation(direction)
    if not off <= ORTHONORMAL_TOLERANCE:
        raise GeometryError(
            "PE-NII-006",
            f"{path} has axes off perpendicular by {off:.2g}, expected at most {ORTHONORMAL_TOLERANCE:g}",
            "resample it to a rectangular grid first",
        )
    if off < 1e-12 and np.abs(np.linalg.norm(direction, axis=0) - 1).max() < 1e-12:
        return direction, ()
    u, _, vt = np.linalg.svd(direction)
    nearest: npt.NDArray[np.float64] = u @ vt
    if off < ROUNDING:
        return nearest, ()
    return nearest, (Note("PE-NII-005", "repaired", f"axes off perpendicular by {off:.1g} straightened"),)
