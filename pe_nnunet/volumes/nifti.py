"""Read a NIfTI file by nibabel, which also opens headers that ITK refuses, so that they can be named or mended."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes.orthonormal import ORTHONORMAL_TOLERANCE, deviation
from pe_nnunet.volumes.raw_volume import RawVolume, require_scalar_3d, triple
from pe_nnunet.volumes.sniff import unreadable

MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def read_nifti(path: Path) -> RawVolume:
    """Read NIfTI-1 or -2, compressed or not.

    Args:
        path: Begins like a NIfTI file.

    Raises:
        InputError: PE-IN-003 truncated or damaged, PE-NII-001 not three-dimensional, PE-NII-002 colour.
        GeometryError: PE-NII-007 a spacing that is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            volume: Any = nib.load(path)  # type: ignore[attr-defined, no-untyped-call, unused-ignore]
            header = volume.header
            components = len(header.get_data_dtype().names or ("one",))
            notes = list(require_scalar_3d(tuple(int(n) for n in volume.shape), components, path))
            array = _scaled(volume)
    except InputError:
        raise
    except Exception as error:  # a damaged header makes nibabel raise whatever its parts raise
        raise unreadable(path, error) from error
    unit = str(header.get_xyzt_units()[0])
    mm = MM_PER_UNIT.get(unit, 1.0)
    if mm != 1.0:
        notes.append(Note("PE-NII-008", "warning", f"the header is in {unit}s: taken as {mm:g} mm each"))
    if not int(header["sform_code"]) and not int(header["qform_code"]):
        notes.append(
            Note("PE-NII-012", "warning", "no orientation in the header: axes taken as left, posterior, superior")
        )
    affine = _affine(volume)
    axes_mm, origin_mm = RAS_TO_LPS @ affine[:3, :3] * mm, RAS_TO_LPS @ affine[:3, 3] * mm
    spacing_mm = np.linalg.norm(axes_mm, axis=0)
    if not (np.isfinite(spacing_mm).all() and (spacing_mm > 0).all()):
        raise GeometryError(
            "PE-NII-007", f"{path} has spacing {triple(spacing_mm)} (x, y, z), expected millimetres above zero"
        )
    return RawVolume(array, triple(spacing_mm), triple(origin_mm), axes_mm / spacing_mm, tuple(notes))


def _scaled(volume: Any) -> npt.NDArray[np.generic]:
    """Voxels as (z, y, x), scaled by the header: whole numbers stay whole where slope and intercept are."""
    stored = np.asanyarray(volume.dataobj.get_unscaled()).reshape(volume.shape[:3]).T
    stored = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    slope, intercept = volume.dataobj.slope, volume.dataobj.inter
    if slope == 1 and intercept == 0:
        return stored
    if (
        stored.dtype.kind in "iu"
        and stored.dtype.itemsize <= 2
        and float(slope).is_integer()
        and float(intercept).is_integer()
    ):
        whole: npt.NDArray[np.generic] = stored.astype(np.int64) * int(slope) + int(intercept)
        return whole
    scaled: npt.NDArray[np.generic] = stored * np.float64(slope) + np.float64(intercept)
    return scaled


def _affine(volume: Any) -> npt.NDArray[np.float64]:
    """Voxel indices to RAS, chosen as ITK does.

    The qform, which cannot be sheared, where the sform is; axes in LPS order from a zero origin where neither is there.
    """
    if not int(volume.header["sform_code"]) and not int(volume.header["qform_code"]):
        return np.diag([*(RAS_TO_LPS @ volume.header.get_zooms()[:3]), 1.0])
    sform, s_code = volume.header.get_sform(coded=True)
    qform, q_code = volume.header.get_qform(coded=True)
    if s_code and q_code and deviation(sform[:3, :3]) > ORTHONORMAL_TOLERANCE:
        return np.array(qform, dtype=np.float64)
    return np.array(volume.affine, dtype=np.float64)
