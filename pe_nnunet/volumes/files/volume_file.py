"""Read one volume file with its geometry: NIfTI by nibabel, which opens headers that ITK refuses, others by SimpleITK.

The header is checked before any voxel is read.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes.files.file_checks import name_for_itk, require_content, require_scalar_3d, unreadable
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.geometry import ORTHONORMAL_TOLERANCE, deviation, orthonormal

MIN_SPACING_MM = 0.02  # below this along every axis the header is not in millimetres

Content = tuple[npt.NDArray[Any], Sequence[float], Sequence[float], npt.NDArray[np.float64], Sequence[Note]]
"""A file as it is: voxels (z, y, x); spacing in mm (x, y, z); origin in LPS mm; axes as columns (3, 3), not checked to
be orthonormal; what was repaired."""


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
    read = _read_nifti if image_suffix(path).startswith(".nii") else _read_by_itk
    array, spacing, origin_mm, axes, found = read(path)
    x_mm, y_mm, z_mm = spacing_mm = tuple(float(mm) for mm in spacing)
    if not all(np.isfinite(mm) and mm > 0 for mm in spacing_mm):
        raise GeometryError("PE-NII-007", f"{path} has spacing {spacing_mm} (x, y, z), expected millimetres above zero")
    direction, straightened = orthonormal(axes, path)
    notes = [*found, *straightened]
    if spacing_mm == (1.0, 1.0, 1.0):
        notes.append(Note("PE-NII-008", "warning", "spacing is exactly 1, 1, 1 mm: right, or lost in a conversion"))
    elif max(spacing_mm) < MIN_SPACING_MM:
        notes.append(Note("PE-NII-008", "warning", f"spacing is {spacing_mm} mm: is the header in metres?"))
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((x_mm, y_mm, z_mm))
    image.SetOrigin([float(mm) for mm in origin_mm])
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


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256 over the hashes of files, whatever their order and names, in hexadecimal."""
    hashes = sorted(file_sha256(path) for path in paths)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


_HEADER_BYTES = 65536


def _read_by_itk(path: Path) -> Content:
    """NRRD, MHA or MHD."""
    data_files(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(name_for_itk(path))
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
    return sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin(), direction, notes


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


def _read_nifti(path: Path) -> Content:
    """NIfTI-1 or -2, compressed or not."""
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
        text = "no orientation in the header: axes taken as left, posterior, superior"
        notes.append(Note("PE-NII-012", "warning", text))
    affine = _affine(volume)
    axes_mm, origin_mm = RAS_TO_LPS @ affine[:3, :3] * mm, RAS_TO_LPS @ affine[:3, 3] * mm
    spacing_mm = np.linalg.norm(axes_mm, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a spacing that is none is refused by the caller
        return array, spacing_mm.tolist(), origin_mm.tolist(), axes_mm / spacing_mm, notes


def _scaled(volume: Any) -> npt.NDArray[np.generic]:
    """Voxels as (z, y, x), scaled by the header: whole numbers stay whole where slope and intercept are."""
    stored = np.asanyarray(volume.dataobj.get_unscaled()).reshape(volume.shape[:3]).T
    stored = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    slope, intercept = volume.dataobj.slope, volume.dataobj.inter
    if slope == 1 and intercept == 0:
        return stored
    short = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2
    if short and float(slope).is_integer() and float(intercept).is_integer():
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
