"""Write an image with its geometry, whole or not at all."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import SimpleITK as sitk
from isal import igzip

from pe_nnunet.errors import OutputError
from pe_nnunet.errors.shown import is_utf8
from pe_nnunet.files import atomic_path

GZIP_LEVEL = 3  # ISA-L's highest
_CHUNK_BYTES = 1 << 20
_NIFTI_HEADER_BYTES = 352
_NIFTI_SIZE_AT = 42  # dim[1], 16 bits each
SEGMENTATION_SUFFIX = ".seg.nrrd"  # of 3D Slicer: a label, never a scan
PAIR_SUFFIX = ".hdr"  # a NIfTI header whose voxels lie in the .img beside it
NIFTI_SUFFIXES = frozenset({".nii.gz", ".nii", PAIR_SUFFIX})
IMAGE_SUFFIXES = (".nii.gz", ".nii", PAIR_SUFFIX, SEGMENTATION_SUFFIX, ".nrrd", ".mha", ".mhd")  # the first that fits


def image_suffix(path: Path) -> str:
    """The image ending of a file name in lower case, or an empty string.

    Example:
        >>> image_suffix(Path("A.NII.GZ"))
        '.nii.gz'
    """
    name = path.name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), "")


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image with its geometry, compressed where the format can be.

    Args:
        image: Any scalar image.
        path: Ends in .nii.gz, .nii, .nrrd or .mha.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written, PE-OUT-002 for another ending, PE-OUT-015 for a name that is
            not UTF-8, at which ITK would end the process.
    """
    if not is_utf8(str(path)):
        raise OutputError("PE-OUT-015", f"the name {path} is not UTF-8", "choose an output folder with another name")
    suffix = image_suffix(path)
    if suffix not in {".nii.gz", ".nii", ".nrrd", ".mha"}:
        raise OutputError(
            "PE-OUT-002", f"{path.name} has no image format that is written here", "use .nii.gz, .nrrd or .mha"
        )
    with atomic_path(path) as temporary:
        if suffix == ".nii.gz":
            _write_compressed_nifti(image, temporary)
        else:
            sitk.WriteImage(image, str(temporary), useCompression=suffix != ".nii")
        if suffix in {".nii", ".nii.gz"}:
            _require_whole_nifti(temporary, image)


def _write_compressed_nifti(image: sitk.Image, path: Path) -> None:
    """By ISA-L, five times as fast as the zlib in ITK for files 2 % larger; the same image gives the same bytes."""
    header = _nifti_header(image, path.with_name(path.name.removesuffix(".gz")))
    voxels = np.ascontiguousarray(sitk.GetArrayViewFromImage(image)).reshape(-1).view(np.uint8).data
    with path.open("wb") as file:
        packed = igzip.IGzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)  # type: ignore[no-untyped-call]
        target = cast("BinaryIO", packed)
        first = _CHUNK_BYTES - len(header)  # where the chunks begin decides a few of the bytes
        with target:
            target.write(header + voxels[:first])
            for start in range(first, len(voxels), _CHUNK_BYTES):
                target.write(voxels[start : start + _CHUNK_BYTES])


def _nifti_header(image: sitk.Image, scratch: Path) -> bytes:
    """The header that ITK writes, taken from a file of a few voxels: a whole one would go to the disk and back."""
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise ValueError("voxels of several values stand in another order in NIfTI")
    size = image.GetSize()
    corner = sitk.RegionOfInterest(image, [min(2, n) for n in size], [0] * len(size))
    try:
        sitk.WriteImage(corner, str(scratch))
        _require_whole_nifti(scratch, corner)
        header = bytearray(scratch.read_bytes()[:_NIFTI_HEADER_BYTES])
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
    struct.pack_into(f"<{len(size)}h", header, _NIFTI_SIZE_AT, *size)
    return bytes(header)


def _require_whole_nifti(path: Path, image: sitk.Image) -> None:
    """Check the length: when the disk is full, ITK's NIfTI writer prints a line, leaves a stump and raises nothing."""
    voxels = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel() * image.GetSizeOfPixelComponent()
    expected = _NIFTI_HEADER_BYTES + voxels
    if path.suffix == ".gz":  # RFC 1952: a whole file ends with the uncompressed length modulo 2^32
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            whole = int.from_bytes(file.read(4), "little") == expected % 2**32
    else:
        whole = path.stat().st_size == expected
    if not whole:
        raise OSError(f"it broke off, expected {expected} bytes uncompressed")
