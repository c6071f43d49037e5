"""Read one volume file with its geometry: NIfTI by nibabel, which opens files that ITK refuses, others by SimpleITK.

The header is checked before any voxel is read. Where it contradicts itself, the grid is the one that ITK takes.
"""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.files import bytes_sha256
from pe_nnunet.volumes.files.checksums import gunzip, require_whole_streams, unpacked_sha256
from pe_nnunet.volumes.files.declared_size import DEFLATE_RATIO, require_no_surplus, require_plausible_voxels
from pe_nnunet.volumes.files.exact_data import require_exact_data
from pe_nnunet.volumes.files.file_checks import name_for_itk, require_content, require_scalar_3d, unreadable
from pe_nnunet.volumes.files.header_checks import require_readable_header
from pe_nnunet.volumes.files.image_writer import NIFTI_SUFFIXES, PAIR_SUFFIX, image_suffix
from pe_nnunet.volumes.files.nifti_geometry import read_geometry
from pe_nnunet.volumes.files.text_headers import data_files
from pe_nnunet.volumes.geometry import orthonormal, require_place, require_spacing

MIN_SPACING_MM = 0.02  # below this along every axis the header is not in millimetres

Content = tuple[npt.NDArray[Any], Sequence[float], Sequence[float], npt.NDArray[np.float64], Sequence[Note]]
"""A file as it is: voxels (z, y, x), or (z, y, x, value); spacing in mm (x, y, z); origin in LPS mm; axes as columns
(3, 3), not checked to be orthonormal; what was repaired."""


def read_file(path: Path) -> tuple[sitk.Image, tuple[Note, ...]]:
    """Read a volume with its geometry, whatever its values mean.

    Args:
        path: Ends in .nii, .nii.gz, .hdr (with its .img), .nrrd, .mha or .mhd.

    Returns:
        A three-dimensional scalar image in the file's own pixel type (whole numbers stay whole), with an orthonormal
        direction, and what was repaired.

    Raises:
        InputError: PE-IN-002 no such file; PE-IN-003 not what its ending says, or truncated; PE-NII-001 not
            three-dimensional; PE-NII-002 colour or vectors; PE-NII-011 data in a file elsewhere; PE-NII-015 a header
            that ITK reads otherwise than its format says; PE-NII-018 half a scale of values.
        GeometryError: PE-NII-006 axes not perpendicular; PE-NII-007 a spacing that is none.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    require_content(path)
    (image,), notes = _images(*_read_nifti(path) if image_suffix(path) in NIFTI_SUFFIXES else _read_by_itk(path), path)
    return image, notes


def read_layers(path: Path) -> tuple[list[sitk.Image], tuple[Note, ...]]:
    """Read an NRRD file that may hold several values a voxel, as `read_file` does: one image for each of them.

    Raises:
        InputError: As `read_file`.
        GeometryError: As `read_file`.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    require_content(path)
    return _images(*_read_by_itk(path, layers=True), path)


def _images(
    array: npt.NDArray[Any],
    spacing: Sequence[float],
    origin_mm: Sequence[float],
    axes: npt.NDArray[np.float64],
    found: Sequence[Note],
    path: Path,
) -> tuple[list[sitk.Image], tuple[Note, ...]]:
    """Images of what a file holds, its grid checked: one, or one a value of the voxels."""
    x_mm, y_mm, z_mm = spacing_mm = tuple(float(mm) for mm in spacing)
    if not all(np.isfinite(mm) and mm > 0 for mm in spacing_mm):
        raise GeometryError("PE-NII-007", f"{path} has spacing {spacing_mm} (x, y, z), expected millimetres above zero")
    require_spacing(spacing_mm, str(path))
    require_place(origin_mm, str(path))
    direction, straightened = orthonormal(axes, path)
    notes = [*found, *straightened]
    if spacing_mm == (1.0, 1.0, 1.0):
        notes.append(Note("PE-NII-008", "warning", "spacing is exactly 1, 1, 1 mm: right, or lost in a conversion"))
    elif max(spacing_mm) < MIN_SPACING_MM:
        notes.append(Note("PE-NII-008", "warning", f"spacing is {spacing_mm} mm: is the header in metres?"))
    images = []
    for values in [array] if array.ndim == 3 else [array[..., k] for k in range(array.shape[3])]:
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((x_mm, y_mm, z_mm))
        image.SetOrigin([float(mm) for mm in origin_mm])
        image.SetDirection(direction.ravel().tolist())
        images.append(image)
    return images, tuple(notes)


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, followed by those of its data file where its header is detached, in hexadecimal."""
    return bytes_sha256(path, *data_files(path))


def scan_sha256(path: Path) -> tuple[str, ...]:
    """By what a scan is known again: the hash of its file and, of a compressed NIfTI, that of what is compressed.

    The second is that of the same NIfTI without compression, too; two files are one scan if they share a hash.
    """
    unpacked = unpacked_sha256(path) if path.name.lower().endswith(".nii.gz") else None
    return (file_sha256(path),) if unpacked is None else (file_sha256(path), unpacked)


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256 over the hashes of files, whatever their order and names, in hexadecimal."""
    hashes = sorted(file_sha256(path) for path in paths)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _read_by_itk(path: Path, *, layers: bool = False) -> Content:
    """NRRD, MHA or MHD; with layers (z, y, x, value) where a voxel has several values."""
    files = data_files(path)
    doubts = require_readable_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(name_for_itk(path))
    try:
        reader.ReadImageInformation()
        values = reader.GetNumberOfComponents()
        voxel_bytes = values * sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent()
        require_plausible_voxels(reader.GetSize(), voxel_bytes, path, files)
        notes = require_scalar_3d(tuple(reader.GetSize()), 1 if layers else values, path, values)
        unpacked = require_whole_streams(path, files, prod(reader.GetSize()) * voxel_bytes)
        require_exact_data(path, files, prod(reader.GetSize()), voxel_bytes, unpacked)
        image = reader.Execute()
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    while image.GetDimension() > 3:
        size = [*image.GetSize()[:-1], 0]
        submatrix = sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX
        image = sitk.Extract(image, size, [0] * len(size), submatrix)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin(), direction, (*notes, *doubts)


def _read_nifti(path: Path) -> Content:
    """NIfTI-1 or -2, compressed or not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = nifti_header(path)
            components = len(header.get_data_dtype().names or ("one",))
            shape = tuple(int(n) for n in header.get_data_shape())
            require_plausible_voxels(shape, header.get_data_dtype().itemsize, path, data_files(path))
            notes = require_scalar_3d(shape, components, path)
            taken, _, doubts = read_geometry(header, path)
            array = _scaled(header, path)
    except InputError:
        raise
    except Exception as error:  # a damaged header makes nibabel raise whatever its parts raise
        raise unreadable(path, error) from error
    return array, taken.spacing_mm.tolist(), taken.origin_mm.tolist(), taken.axes, (*notes, *doubts)


def _stored(header: Any, path: Path) -> npt.NDArray[np.generic]:
    """Voxels as they are stored, in their order."""
    if path.suffix.lower() != ".gz":
        import nibabel as nib

        proxy: Any = nib.arrayproxy.ArrayProxy(str(path), header)  # type: ignore[no-untyped-call, unused-ignore]
        plain: npt.NDArray[np.generic] = np.asanyarray(proxy.get_unscaled()).ravel(order="F")
        require_no_surplus(path, int(header.get_data_offset()), plain.nbytes)
        return plain
    kind, start = np.dtype(header.get_data_dtype()), int(header.get_data_offset())
    count = int(np.prod(header.get_data_shape(), dtype=np.int64))
    if start > DEFLATE_RATIO * path.stat().st_size:
        raise OSError(f"its voxels begin at byte {start}, which it cannot hold")
    stored: npt.NDArray[np.generic] = np.frombuffer(gunzip(path, start + count * kind.itemsize), kind, count, start)
    return stored


def other_grids(image: sitk.Image, path: Path) -> Iterator[tuple[str, sitk.Image]]:
    """The other grids that the header of a file could mean, see `read_geometry`; none but for NIfTI.

    Args:
        image: Of any pixel type, as read from the file; its voxels are shared or copied.
        path: The file.

    Yields:
        The name of the part of the header, and the voxels on its grid.
    """
    if image_suffix(path) not in NIFTI_SUFFIXES or not path.is_file():
        return
    for reading in read_geometry(nifti_header(path), path)[1]:
        other = sitk.Image(image)
        other.SetSpacing(reading.spacing_mm.tolist())
        other.SetOrigin(reading.origin_mm.tolist())
        other.SetDirection(orthonormal(reading.axes, path)[0].ravel().tolist())
        yield reading.name, other


def nifti_header(path: Path) -> Any:
    """The header of a NIfTI file as it is, nothing mended."""
    import nibabel as nib  # takes memory that other files do not need

    with nib.openers.ImageOpener(str(path)) as file:
        start = file.read(4)
        file.seek(0)
        two = 540 in {int.from_bytes(start, "little"), int.from_bytes(start, "big")}
        if image_suffix(path) == PAIR_SUFFIX:
            kind: Any = nib.nifti2.Nifti2PairHeader if two else nib.nifti1.Nifti1PairHeader
        else:
            kind = nib.Nifti2Header if two else nib.Nifti1Header
        return kind.from_fileobj(file, check=False)


def _scaled(header: Any, path: Path) -> npt.NDArray[np.generic]:
    """Voxels as (z, y, x), scaled by the header: whole numbers stay whole where slope and intercept are.

    Raises:
        InputError: PE-NII-018 if one of slope and intercept is none: ITK takes the other one, nibabel neither.
    """
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (isfinite(slope) and slope != 0 and isfinite(intercept)):
        if (isfinite(slope) and slope not in {0, 1}) or (isfinite(intercept) and intercept != 0):
            raise InputError(
                "PE-NII-018",
                f"{path} has scl_slope {slope:g} and scl_inter {intercept:g}: ITK uses one of them, nibabel neither",
                "write it with a slope of 1, or with both 0 if the values are as stored",
            )
        slope, intercept = 1.0, 0.0
    plain = header.copy()
    plain["scl_slope"], plain["scl_inter"] = 1, 0
    plain.check_fix()
    (voxels,) = data_files(path) or [path]
    stored = _stored(plain, voxels).reshape(header.get_data_shape()[:3], order="F").T
    stored = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    if slope == 1 and intercept == 0:
        return stored
    short = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2
    if short and slope.is_integer() and intercept.is_integer():
        fits = abs(slope) * 2**16 + abs(intercept) < 2**31
        whole = stored.astype(np.int32 if fits else np.int64)
        whole *= int(slope)
        whole += int(intercept)
        return whole
    scaled: npt.NDArray[np.generic] = stored * np.float64(slope) + np.float64(intercept)
    return scaled
