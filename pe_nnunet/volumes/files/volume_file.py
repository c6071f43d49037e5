"""Read one volume file with its geometry: NIfTI by nibabel, which opens headers that ITK refuses, others by SimpleITK.

The header is checked before any voxel is read.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.files.raw_volume import RawVolume, require_content, require_scalar_3d, triple, unreadable
from pe_nnunet.volumes.geometry import ORTHONORMAL_TOLERANCE, deviation, orthonormal

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


_HEADER_BYTES = 65536


def read_itk_file(path: Path) -> RawVolume:
    """Read a volume file that ITK knows.

    Args:
        path: Ends in .nrrd, .mha or .mhd.

    Raises:
        InputError: PE-IN-002 the data file is not there, PE-IN-003 truncated or damaged, PE-NII-001 not
            three-dimensional, PE-NII-002 colour or vectors, PE-NII-011 data in several files or elsewhere.
    """
    data_files(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        notes = require_scalar_3d(tuple(reader.GetSize()), reader.GetNumberOfComponents(), path)
        image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(path, error) from error
    while image.GetDimension() > 3:
        size = [*image.GetSize()[:-1], 0]
        submatrix = sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX
        image = sitk.Extract(image, size, [0] * len(size), submatrix)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return RawVolume(
        sitk.GetArrayFromImage(image), triple(image.GetSpacing()), triple(image.GetOrigin()), direction, notes
    )


def data_files(path: Path) -> list[Path]:
    """The file that holds the voxels of a detached header (NRRD, MHD); none for other files.

    Raises:
        InputError: PE-NII-011 for several files, an absolute path or one that leads out of the folder: a header from
            elsewhere must not make this program read any file. PE-IN-002 if it is not there.
    """
    if image_suffix(path) not in {".nrrd", ".mhd", ".mha"}:
        return []
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES).split(b"\n\n", 1)[0].decode("latin-1")
    match = re.search(r"^(?:data ?file:|ElementDataFile *=)[ \t]*(.*?)\s*$", header, re.IGNORECASE | re.MULTILINE)
    if match is None or match[1].upper() == "LOCAL":
        return []
    named = Path(match[1])
    several = match[1].upper().startswith("LIST") or "%" in match[1]
    if several or named.is_absolute() or ".." in named.parts:
        raise InputError(
            "PE-NII-011",
            f"{path} keeps its voxels in {match[1]!r}, expected one file beside it",
            "write it as one .nrrd or .mha file",
        )
    data = path.parent / named
    if not data.is_file():
        raise InputError("PE-IN-002", f"{data}, named in {path.name}, does not exist", "copy it beside the header")
    return [data]


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
