"""Volume files whose headers say exactly what a test wants, written byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

SPACING_MM = (1.5, 1.25, 2.5)
ORIGIN_RAS = (20.0, -31.5, 700.25)
LPS_IN_RAS = np.diag([-1.0, -1.0, 1.0])


def affine(
    spacing_mm: Sequence[float] = SPACING_MM, axes: np.ndarray = LPS_IN_RAS, origin: Sequence[float] = ORIGIN_RAS
) -> np.ndarray:
    """Voxel indices to RAS mm."""
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = axes * np.asarray(spacing_mm), origin
    return whole


def turned(degrees: float, axis: str = "z") -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix() @ LPS_IN_RAS


def nifti(
    path: Path,
    voxels_zyx: np.ndarray,
    *,
    sform: np.ndarray | None = None,
    s_code: int = 1,
    qform: np.ndarray | None = None,
    q_code: int = 1,
    two: bool = False,
    **fields: Any,
) -> Path:
    """A NIfTI file with these forms, unless `fields` set parts of the header otherwise: pixdim is (x, y, z)."""
    header = (nib.Nifti2Header if two else nib.Nifti1Header)()
    header.set_data_dtype(voxels_zyx.dtype)
    header.set_data_shape(voxels_zyx.T.shape)
    header.set_xyzt_units("mm")
    header.set_qform(affine() if qform is None else qform, code=1, strip_shears=True)
    header["qform_code"] = q_code
    header.set_sform(affine() if sform is None else sform, code=1)
    header["sform_code"] = s_code
    for name, value in fields.items():
        if name == "pixdim":
            header["pixdim"][1:4] = value
        elif name == "qfac":
            header["pixdim"][0] = value
        else:
            header[name] = value
    content = bytearray(header.binaryblock)
    start = 544 if two else 352
    if two:
        content[4:12] = b"n+2\0\r\n\x1a\n"
        struct.pack_into("<q", content, 168, start)
    else:
        content[344:348] = b"n+1\0"
        struct.pack_into("<f", content, 108, start)
    path.write_bytes(bytes(content) + bytes(4) + voxels_zyx.tobytes())
    return path


def nrrd(path: Path, voxels: np.ndarray, lines: Sequence[str]) -> Path:
    """An NRRD file of these header lines; the voxels in the order of the file, slowest axis first."""
    kind = {"int16": "short", "uint8": "uchar", "float32": "float"}[voxels.dtype.name]
    sizes = " ".join(map(str, voxels.shape[::-1]))
    first = ["NRRD0005", f"type: {kind}", f"dimension: {voxels.ndim}", "endian: little", "encoding: raw"]
    at = [k for k, line in enumerate(lines) if line.startswith("space")]
    lines = [*lines[: at[0] + 1], f"sizes: {sizes}", *lines[at[0] + 1 :]] if at else [f"sizes: {sizes}", *lines]
    path.write_bytes("\n".join([*first, *lines, "", ""]).encode() + voxels.tobytes())
    return path


def meta_image(path: Path, voxels_zyx: np.ndarray, lines: Sequence[str]) -> Path:
    """An MHA file of int16 voxels with these header lines."""
    size = " ".join(map(str, voxels_zyx.shape[::-1]))
    first = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    last = [f"DimSize = {size}", "ElementType = MET_SHORT", "ElementDataFile = LOCAL", ""]
    path.write_bytes("\n".join([*first, *lines, *last]).encode() + voxels_zyx.astype("<i2").tobytes())
    return path


def geometry(image: sitk.Image) -> np.ndarray:
    """Spacing, origin and direction, LPS mm, in one row of 15."""
    return np.array([*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()])


def geometry_of_affine(ras: np.ndarray) -> np.ndarray:
    """The same of an affine to RAS mm."""
    columns = LPS_IN_RAS @ ras[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    return np.array([*spacing, *(LPS_IN_RAS @ ras[:3, 3]), *(columns / spacing).ravel()])
