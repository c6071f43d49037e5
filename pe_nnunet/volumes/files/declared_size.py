"""What a volume file or a table of arrays says of its size, bounded by the file before any memory is taken for it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.processes import require_memory
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.files.text_headers import NRRD_SUFFIXES, meta_header, nrrd_header

DEFLATE_RATIO = 1040
"""Bytes that a byte of a deflated stream can become: 258 for two bits (RFC 1951, 3.2.5)."""
BZIP2_RATIO = 25_000  # a block of 900 kB of one value takes some 40 bytes
_MOST_PADDING = 1 << 20


def require_plausible_voxels(
    shape: Sequence[int], bytes_per_voxel: float, path: Path, data: Sequence[Path] = ()
) -> None:
    """Check that a file can hold as many voxels as its header names.

    Args:
        shape: Voxels along all axes, in any order.
        bytes_per_voxel: As stored.
        path: The file.
        data: Those that hold the voxels of a detached header.

    Raises:
        InputError: PE-IN-009 if a compressed file cannot; PE-IN-003 if one that is not is too short, or PE-IN-006 if
            memory would not take it either.
    """
    needed, held = prod(map(int, shape)) * bytes_per_voxel, sum(file.stat().st_size for file in (path, *data))
    ratio = _ratio(path)
    if needed <= ratio * held:
        return
    size = "x".join(str(int(n)) for n in shape)
    if ratio == 1:
        require_memory(shape, str(path))
        raise InputError(
            "PE-IN-003",
            f"{path} cannot be read: {size} voxels take {needed:.0f} bytes, and it has {held}",
            "it may be truncated or damaged: copy or download it again",
        )
    raise too_large(path, f"{size} voxels, {needed:.0f} bytes", held)


def require_no_surplus(path: Path, start: int, needed: int) -> None:
    """Check that nothing but padding follows the voxels of a file that is not compressed.

    What was doubled or put in on the way moves all voxels behind it, and only the file's length says so.

    Args:
        path: The file with the voxels.
        start: Of the voxels.
        needed: Their bytes.

    Raises:
        InputError: PE-IN-020 for anything else than zeros, or the end of a line.
    """
    with path.open("rb") as file:
        file.seek(start + needed)
        rest = file.read(_MOST_PADDING + 1)
    if not is_padding(rest):
        raise InputError(
            "PE-IN-020",
            f"{path} goes on for {path.stat().st_size - start - needed} bytes behind the {needed} of the voxels that "
            "its header names",
            "it may be damaged: copy or download it again",
        )


def is_padding(rest: bytes) -> bool:
    """Whether bytes behind voxels are none: zeros, as block devices and archives add, or the end of a line."""
    return len(rest) <= _MOST_PADDING and (not rest.strip(b"\0") or rest in {b"\n", b"\r\n"})


def require_plausible_array(shape: Sequence[int], path: Path) -> None:
    """Check that a MATLAB file can hold an array, of which MATLAB stores and deflates each value in one byte or more.

    Raises:
        InputError: PE-IN-009 if not, PE-IN-006 if it does not fit into memory.
    """
    held = path.stat().st_size
    if prod(map(int, shape)) > DEFLATE_RATIO * held:
        raise too_large(path, f"an array of {'x'.join(str(int(n)) for n in shape)}", held)
    require_memory(shape, str(path))


def too_large(name: Path | str, claim: str, held: int, more: str = "") -> InputError:
    """The error for a header that names more than its file can hold."""
    return InputError(
        "PE-IN-009",
        f"{name} names {claim}, more than its {held} bytes can hold" + (f": {more}" if more else ""),
        "get the file again; such headers are damaged, or made to do harm",
    )


def _ratio(path: Path) -> int:
    """Bytes of voxels that a byte of the file can become."""
    suffix = image_suffix(path)
    if suffix in {".nii", ".nii.gz"}:
        return DEFLATE_RATIO if suffix == ".nii.gz" else 1
    if suffix in NRRD_SUFFIXES:
        encoding = nrrd_header(path)[0].get("encoding", "").lower()
        known = {"raw": 1, "gzip": DEFLATE_RATIO, "gz": DEFLATE_RATIO, "bzip2": BZIP2_RATIO, "bz2": BZIP2_RATIO}
        return known.get(encoding, 8)  # text: a digit and a blank a voxel
    tags = meta_header(path)
    if tags.get("binarydata", "").lower() == "false":
        return 8
    return DEFLATE_RATIO if tags.get("compresseddata", "").lower() == "true" else 1
