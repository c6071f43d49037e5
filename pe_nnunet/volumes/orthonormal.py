"""Direction matrices: how far from orthonormal, and the nearest that is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import GeometryError, Note

ORTHONORMAL_TOLERANCE = 1e-3
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
    if off < 1e-12:
        return direction, ()
    u, _, vt = np.linalg.svd(direction)
    nearest: npt.NDArray[np.float64] = u @ vt
    if off < ROUNDING:
        return nearest, ()
    return nearest, (Note("PE-NII-005", "repaired", f"axes off perpendicular by {off:.1g} straightened"),)
