"""Read one volume file: NIfTI by nibabel, NRRD, MHA and MHD by SimpleITK; the header is checked before any voxel is read."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes.write import image_suffix

ORTHONORMAL_TOLERANCE = 1e-3
UNIT_SCALE_MM = {"meter": 1000.0, "micron": 0.001}


def read_file(path: Path) -> tuple[sitk.Image, tuple[Note, ...]]:
    """Read a volume with its geometry, whatever its values mean.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd, .mha or .mhd.

    Returns:
        A three-dimensional scalar image in the file's own pixel type (native byte order, scaled values as float64), and
        what was repaired.

    Raises:
        InputError: PE-IN-002 no such file; PE-IN-003 not what its ending says, or truncated; PE-NII-001 not three-dimensional;
            PE-NII-002 colour or vectors; PE-NII-011 data in a file elsewhere.
        GeometryError: PE-NII-006 axes not perpendicular; PE-NII-007 a spacing that is none.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    suffix = image_suffix(path)
    _require_content(path, suffix)
    array, direction, spacing, origin, notes = _read_nifti(path) if suffix.startswith(".nii") else _read_itk(path)
    if not all(np.isfinite(s) and s > 0 for s in spacing):
        raise GeometryError(
            "PE-NII-007", f"{path.name} has spacing {spacing} (x, y, z), expected millimetres above zero"
        )
    if spacing == (1.0, 1.0, 1.0):
        notes.append(Note("PE-NII-008", "warning", "spacing is exactly 1, 1, 1 mm: right, or lost in a conversion"))
    elif max(spacing) < 0.02:
        notes.append(Note("PE-NII-008", "warning", f"spacing is {spacing} mm: is the header in metres?"))
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(_orthonormal(direction, path, notes).ravel().tolist())
    return image, tuple(notes)


def file_sha256(path: Path) -> str:
    """SHA-256 of the file, followed by that of its data file where it has one beside it, in hexadecimal."""
    digest = hashlib.sha256()
    for part in (path, *_data_files(path)):
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


_Parts = tuple[
    npt.NDArray[np.generic],
    npt.NDArray[np.float64],
    tuple[float, float, float],
    tuple[float, float, float],
    list[Note],
]


def _read_nifti(path: Path) -> _Parts:
    """Array (z, y, x), direction as columns, spacing and origin in x, y, z and LPS mm, notes."""
    try:
        volume = nib.load(path)
        header = volume.header
        shape, dtype = tuple(int(n) for n in volume.shape), header.get_data_dtype()
        _require_scalar_3d(shape, 1 if dtype.names is None else 3, path)
        affine = _nifti_affine(volume)
        data = np.asanyarray(volume.dataobj)
    except InputError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        zlib.error,
        nib.filebasedimages.ImageFileError,
        nib.spatialimages.HeaderDataError,
    ) as e:
        raise _unreadable(path, e) from e
    notes = [Note("PE-NII-010", "repaired", "a fourth axis of length one dropped")] if len(shape) > 3 else []
    data = data.reshape(shape[:3])
    unit = str(header.get_xyzt_units()[0])
    scale = UNIT_SCALE_MM.get(unit, 1.0)
    if scale != 1.0:
        notes.append(Note("PE-NII-008", "warning", f"the header is in {unit}s: taken as millimetres times {scale:g}"))
    if not (int(header["sform_code"]) or int(header["qform_code"])):
        notes.append(
            Note("PE-NII-012", "warning", "the header gives no orientation: axes taken as right, anterior, superior")
        )
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # NIfTI is RAS, everything here LPS
    affine[:3] *= scale
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (spacing > 0).all():
        raise GeometryError(
            "PE-NII-007", f"{path.name} has spacing {tuple(spacing)} (x, y, z), expected millimetres above zero"
        )
    array = np.ascontiguousarray(data.T)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array, affine[:3, :3] / spacing, _triple(spacing), _triple(affine[:3, 3]), notes


def _nifti_affine(volume: nib.Nifti1Image) -> npt.NDArray[np.float64]:
    """The sform unless it is sheared and the qform, which cannot be, is there too: what ITK does as well."""
    sform, code = volume.header.get_sform(coded=True)
    qform, q_code = volume.header.get_qform(coded=True)
    if code and q_code and _error_of(sform[:3, :3]) > ORTHONORMAL_TOLERANCE:
        return np.asarray(qform, dtype=np.float64)
    return np.array(volume.affine, dtype=np.float64)


def _read_itk(path: Path) -> _Parts:
    """The same for formats that ITK reads."""
    _data_files(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _require_scalar_3d(tuple(reader.GetSize()), reader.GetNumberOfComponents(), path)
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    notes = []
    if image.GetDimension() > 3:
        notes.append(Note("PE-NII-010", "repaired", "a fourth axis of length one dropped"))
        while image.GetDimension() > 3:
            size = [*image.GetSize()[:-1], 0]
            image = sitk.Extract(image, size, [0] * len(size), sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return sitk.GetArrayFromImage(image), direction, _triple(image.GetSpacing()), _triple(image.GetOrigin()), notes


def _require_scalar_3d(shape: tuple[int, ...], components: int, path: Path) -> None:
    if components != 1:
        raise InputError(
            "PE-NII-002", f"{path.name} holds {components} values a voxel, expected one", "give the CT, not a picture"
        )
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise InputError(
            "PE-NII-001", f"{path.name} has shape {shape} (x, y, z, ...), expected three axes", "give one 3D volume"
        )


def _orthonormal(direction: npt.NDArray[np.float64], path: Path, notes: list[Note]) -> npt.NDArray[np.float64]:
    """The nearest orthonormal matrix, with a note where the difference is more than the rounding of float32 headers."""
    error = _error_of(direction)
    if not error <= ORTHONORMAL_TOLERANCE:
        raise GeometryError(
            "PE-NII-006",
            f"{path.name} has axes that are not perpendicular unit vectors (off by {error:.2g}, expected under {ORTHONORMAL_TOLERANCE:g})",
            "resample it to a rectangular grid first",
        )
    if error <= 1e-12:
        return direction
    if error > 1e-5:
        notes.append(Note("PE-NII-005", "repaired", f"axes off perpendicular by {error:.1g} straightened"))
    u, _, vt = np.linalg.svd(direction)
    nearest: npt.NDArray[np.float64] = u @ vt
    return nearest


def _error_of(matrix: npt.NDArray[np.float64]) -> float:
    """The largest deviation of the normalised columns' dot products from the identity."""
    norms = np.linalg.norm(matrix, axis=0)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        return float("inf")
    unit = matrix / norms
    return float(np.abs(unit.T @ unit - np.eye(3)).max())


def _require_content(path: Path, suffix: str) -> None:
    """Check the first bytes against the ending, and say what lies there instead."""
    with path.open("rb") as file:
        start = file.read(512)
    gzipped = start[:2] == b"\x1f\x8b"
    header = start
    if gzipped and suffix == ".nii.gz":
        try:
            with gzip.open(path) as unpacked:
                header = unpacked.read(512)
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(path, error) from error
    fits = {
        ".nii": header[:4] in _NIFTI_SIZES,
        ".nii.gz": gzipped and header[:4] in _NIFTI_SIZES,
        ".nrrd": start[:4] == b"NRRD",
        ".mha": re.match(rb"\s*\w+\s*=", start) is not None,
        ".mhd": re.match(rb"\s*\w+\s*=", start) is not None,
    }
    if fits.get(suffix, False):
        return
    if not start:
        found = "an empty file"
    elif start.startswith(b"version https://git-lfs"):
        found = "a Git LFS pointer, not the file itself"
    elif re.match(rb"\s*<(!doctype|html|\?xml)", start, re.IGNORECASE):
        found = "a web page"
    elif gzipped:
        found = "gzip-compressed data" if suffix != ".nii.gz" else "gzip-compressed data that are no NIfTI"
    elif start[:4] in _NIFTI_SIZES:
        found = "an uncompressed NIfTI"
    elif all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        found = "text"
    else:
        found = "something else"
    raise InputError(
        "PE-IN-003", f"{path} is no {suffix or 'volume'} file but {found}", "get the file again, or correct its ending"
    )


_NIFTI_SIZES = tuple(n.to_bytes(4, order) for n in (348, 540) for order in ("little", "big"))  # type: ignore[arg-type]


def _data_files(path: Path) -> list[Path]:
    """The files that a detached header (NRRD, MHD) names; they must lie beside it or below.

    Raises:
        InputError: PE-NII-011 for an absolute path or one that leads out of the folder, PE-IN-002 for one that is not there.
    """
    if image_suffix(path) not in {".nrrd", ".mhd", ".mha"}:
        return []
    with path.open("rb") as file:
        header = file.read(65536).split(b"\n\n", 1)[0].decode("latin-1")
    match = re.search(r"^\s*(?:data ?file\s*:|ElementDataFile\s*=)\s*(.+?)\s*$", header, re.IGNORECASE | re.MULTILINE)
    if match is None or match[1].upper() == "LOCAL":
        return []
    named = Path(match[1])
    if match[1].upper().startswith("LIST") or "%" in match[1] or named.is_absolute() or ".." in named.parts:
        raise InputError(
            "PE-NII-011",
            f"{path} keeps its voxels in {match[1]!r}, expected one file beside it",
            "write it as one file (.nrrd, .mha)",
        )
    data = path.parent / named
    if not data.is_file():
        raise InputError("PE-IN-002", f"{data}, named in {path.name}, does not exist", "copy it beside the header")
    return [data]


def _triple(values: npt.NDArray[np.float64] | tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _unreadable(path: Path, error: Exception) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    return InputError("PE-IN-003", f"{path} is truncated or damaged: {reason}", "copy or download it again")
