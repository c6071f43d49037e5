"""Read one volume file with its geometry; its header is checked before any voxel is read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes.itk_file import data_files, read_itk_file
from pe_nnunet.volumes.nifti import read_nifti
from pe_nnunet.volumes.orthonormal import orthonormal
from pe_nnunet.volumes.sniff import require_content
from pe_nnunet.volumes.write import image_suffix

SMALLEST_SPACING_MM = 0.02  # below this along every axis the header is not in millimetres


def read_file(path: Path) -> tuple[sitk.Image, tuple[Note, ...]]:
    """Read a volume with its geometry, whatever its values mean.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd, .mha or .mhd.

    Returns:
        A three-dimensional scalar image in the file's own pixel type (whole numbers stay whole), with an orthonormal
        direction, and what was repaired.

    Raises:
        InputError: PE-IN-002 no such file; PE-IN-003 not what its ending says, or truncated; PE-NII-001 not
            three-dimensional; PE-NII-002 colour or vectors; PE-NII-011 data in a file elsewhere.
        GeometryError: PE-NII-006 axes not perpendicular; PE-NII-007 a spacing that is none.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    require_content(path)
    raw = read_nifti(path) if image_suffix(path).startswith(".nii") else read_itk_file(path)
    if not all(np.isfinite(s) and s > 0 for s in raw.spacing_mm):
        raise GeometryError(
            "PE-NII-007", f"{path} has spacing {raw.spacing_mm} (x, y, z), expected millimetres above zero"
        )
    direction, straightened = orthonormal(raw.direction, path)
    notes = [*raw.notes, *straightened]
    if raw.spacing_mm == (1.0, 1.0, 1.0):
        notes.append(Note("PE-NII-008", "warning", "spacing is exactly 1, 1, 1 mm: right, or lost in a conversion"))
    elif max(raw.spacing_mm) < SMALLEST_SPACING_MM:
        notes.append(Note("PE-NII-008", "warning", f"spacing is {raw.spacing_mm} mm: is the header in metres?"))
    image = sitk.GetImageFromArray(raw.array)
    image.SetSpacing(raw.spacing_mm)
    image.SetOrigin(raw.origin_mm)
    image.SetDirection(direction.ravel().tolist())
    return image, tuple(notes)


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, followed by those of its data file where its header is detached, in hexadecimal."""
    digest = hashlib.sha256()
    for part in (path, *data_files(path)):
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
