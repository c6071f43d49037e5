"""A volume as its file has it, before anything is checked or repaired."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.memory import require_memory

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class RawVolume:
    """Voxels and grid from a volume file.

    Attributes:
        array: (z, y, x), in native byte order.
        spacing_mm: x, y, z.
        origin_mm: LPS position of the first voxel.
        direction: (3, 3), columns are the axes x, y, z; perhaps not orthonormal.
        notes: What was repaired or deserves a look.
    """

    array: npt.NDArray[np.generic]
    spacing_mm: Triple
    origin_mm: Triple
    direction: npt.NDArray[np.float64]
    notes: tuple[Note, ...]


def require_scalar_3d(shape: tuple[int, ...], components: int, path: Path) -> tuple[Note, ...]:
    """Check the header's shape (x, y, z, ...) before any voxel is read.

    Returns:
        A note if further axes of length one were dropped.

    Raises:
        InputError: PE-NII-001 not three axes, PE-NII-002 not one value a voxel, PE-IN-006 too large for the memory.
    """
    if components != 1:
        raise InputError(
            "PE-NII-002",
            f"{path} holds {components} values a voxel, expected one",
            "give the CT itself, not a picture of it",
        )
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise InputError(
            "PE-NII-001", f"{path} has shape {shape} (x, y, z, ...), expected three axes", "give one 3D volume"
        )
    require_memory(shape[:3], str(path))
    return (Note("PE-NII-010", "repaired", "an extra axis of length one dropped"),) if len(shape) > 3 else ()


def triple(values: npt.NDArray[np.float64] | tuple[float, ...]) -> Triple:
    """Three numbers as plain floats."""
    x, y, z = (float(v) for v in values)
    return x, y, z
