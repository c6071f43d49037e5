"""Checks of a volume file before its voxels are read: by its first bytes what it really is, by its header the shape."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from pe_nnunet.errors import InputError, Note
from pe_nnunet.errors.shown import is_utf8
from pe_nnunet.processes import require_memory
from pe_nnunet.volumes.files.image_writer import PAIR_SUFFIX, image_suffix


def require_scalar_3d(shape: tuple[int, ...], components: int, path: Path, layers: int = 1) -> tuple[Note, ...]:
    """Check the header's shape (x, y, z, ...) before any voxel is read.

    Args:
        shape: As the header has it.
        components: Values a voxel that count as such; layers of a segmentation do not.
        path: For messages.
        layers: How many volumes of this shape are read.

    Returns:
        A note if further axes of length one were dropped.

    Raises:
        InputError: PE-NII-001 not three axes, PE-NII-002 not one value a voxel, PE-IN-006 too large for the memory.
    """
    if components != 1:
        raise InputError(
            "PE-NII-002",
            f"{path} holds {components} values a voxel, expected one",
            "give a CT or label with one value a voxel, not a picture of it",
        )
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise InputError(
            "PE-NII-001", f"{path} has shape {shape} (x, y, z, ...), expected three axes", "give one 3D volume"
        )
    require_memory((*shape[:2], shape[2] * layers), str(path))
    return (Note("PE-NII-010", "repaired", "an extra axis of length one dropped"),) if len(shape) > 3 else ()


def name_for_itk(path: Path) -> str:
    """The name of a file as ITK takes it, which ends the process at bytes that are not UTF-8.

    Raises:
        InputError: PE-CONV-040 for such a name.
    """
    name = str(path)
    if not is_utf8(name):
        raise InputError("PE-CONV-040", f"the name {name} is not UTF-8", "rename the file or folder")
    return name


# header size 348 or 540, either order
_NIFTI_STARTS = (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c")
_PEEK = 512


def require_content(path: Path) -> None:
    """Check that a volume file begins as its ending says.

    Args:
        path: Ends in .nii, .nii.gz, .nrrd, .mha or .mhd.

    Raises:
        InputError: PE-IN-003, which says what lies there instead.
    """
    suffix = image_suffix(path)
    try:
        with path.open("rb") as file:
            start = file.read(_PEEK)
    except OSError as error:  # no permission, a disk that fails
        raise unreadable(path, error) from error
    if suffix == ".nii.gz":
        fits = _unzipped(path, start)[:4] in _NIFTI_STARTS
    elif suffix == ".nii":
        fits = start[:4] in _NIFTI_STARTS
    elif suffix == PAIR_SUFFIX:
        fits = start[:4] in _NIFTI_STARTS and (start[344:347] == b"ni1" or start[4:7] == b"ni2")
    elif suffix in {".nrrd", ".seg.nrrd"}:
        fits = start.startswith(b"NRRD")
    else:
        fits = re.match(rb"\s*\w+\s*=", start) is not None
    if not fits:
        raise InputError(
            "PE-IN-003", f"{path} is no {suffix} file but {_kind(start)}", "get the file again, or correct its ending"
        )


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that cannot be opened, breaks off, or makes no sense after a good beginning."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    if isinstance(error, MemoryError):
        return InputError(
            "PE-IN-006", f"{path} does not fit into the memory that is free", "free some, or cut the scan"
        )
    hint = "it may be truncated or damaged: copy or download it again, and check its permissions"
    return InputError("PE-IN-003", f"{path} cannot be read: {reason}", hint)


def _unzipped(path: Path, start: bytes) -> bytes:
    if not start.startswith(b"\x1f\x8b"):
        return b""
    try:
        with gzip.open(path) as unpacked:
            return unpacked.read(_PEEK)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    if re.match(rb"\s*<(!doctype|html|\?xml)", start, re.IGNORECASE):
        return "a web page"
    if start.startswith(b"\x1f\x8b"):
        return "gzip-compressed data"
    if start[:4] in _NIFTI_STARTS:
        named = b"n" in (start[4:5], start[344:345])
        return "an uncompressed NIfTI file" if named else "an Analyze 7.5 header, which knows no left and right"
    if start.startswith(b"NRRD"):
        return "an NRRD file"
    if start[128:132] == b"DICM":
        return "a DICOM file"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        return "text"
    return "something else"
