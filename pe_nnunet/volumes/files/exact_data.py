"""Whether the data of an NRRD, MHA or MHD file are as many, and of the kind, that its header names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.files.declared_size import require_no_surplus
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.files.text_headers import NRRD_SUFFIXES, meta_header, nrrd_header, where_voxels_are

_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def require_exact_data(path: Path, files: Sequence[Path], voxels: int, voxel_bytes: int, unpacked: int | None) -> None:
    """Check the data of a file; those that begin elsewhere than behind the header (skipped lines, bytes) are left.

    Args:
        path: The file.
        files: What `data_files` gave.
        voxels: How many values it holds by its header, or voxels of several values.
        voxel_bytes: Of one of them.
        unpacked: Bytes that its stream unpacks to; None if it is not compressed.

    Raises:
        InputError: PE-IN-020 if there are more, or others, or text that is no numbers.
    """
    needed = voxels * voxel_bytes
    nrrd = image_suffix(path) in NRRD_SUFFIXES
    fields = nrrd_header(path)[0] if nrrd else meta_header(path)
    if fields.keys() & {"byteskip", "lineskip", "headersize"}:
        return
    if unpacked is not None:
        if unpacked != needed:
            raise _other(path, f"unpacks to {unpacked} bytes, expected {needed}")
        if not nrrd and "compresseddatasize" not in fields:  # ITK reads something else then
            raise _other(path, "does not say how many bytes its compressed voxels take (CompressedDataSize)")
        return
    data, start = where_voxels_are(path, files)
    encoding = fields.get("encoding", "raw").lower() if nrrd else "raw"
    if encoding in {"text", "txt", "ascii"} or fields.get("binarydata", "").lower() == "false":
        words = data.read_bytes()[start:].split()
        if len(words) != voxels or not all(map(_NUMBER.fullmatch, words)):
            raise _other(path, f"holds {len(words)} words, expected {voxels} numbers")
    elif encoding == "raw":
        require_no_surplus(data, start, needed)


def _other(path: Path, what: str) -> InputError:
    return InputError("PE-IN-020", f"{path} {what}", "it may be damaged: copy or download it again")
