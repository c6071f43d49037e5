"""Whether the data of an NRRD, MHA or MHD file are as many, and of the kind, that its header names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.files.declared_size import require_no_surplus
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.files.text_headers import NRRD_SUFFIXES, Fields, meta_header, nrrd_header, where_voxels_are

_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def require_exact_data(path: Path, files: Sequence[Path], voxels: int, voxel_bytes: int, unpacked: int | None) -> None:
    """Check the data of a file; of one that is a part of another file only that it can be one.

    Args:
        path: The file.
        files: What `data_files` gave.
        voxels: How many values it holds by its header, or voxels of several values.
        voxel_bytes: Of one of them.
        unpacked: Bytes that its stream unpacks to; None if it is not compressed.

    Raises:
        InputError: PE-IN-020 if there are more, or others, or text that is no numbers; PE-NII-015 if lines or bytes are
            skipped other than in a raw file beside the header.
    """
    needed = voxels * voxel_bytes
    nrrd = image_suffix(path) in NRRD_SUFFIXES
    fields = nrrd_header(path)[0] if nrrd else meta_header(path)
    if fields.keys() & {"byteskip", "lineskip"}:
        _require_usable_skip(path, fields, beside=bool(files))
        return
    if "headersize" in fields:
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


def _require_usable_skip(path: Path, fields: Fields, *, beside: bool) -> None:
    """Check that what an NRRD header skips is the head of another file, which is what skipping is for.

    Readers part over it elsewhere: in text, in streams that are packed, behind the header itself.
    """
    skips = {name: fields[name] for name in ("lineskip", "byteskip") if fields.get(name, "0") != "0"}
    raw = fields.get("encoding", "").lower() == "raw"
    known = all(text.isdecimal() or (name, text) == ("byteskip", "-1") for name, text in skips.items())
    if skips and not (beside and raw and known):
        said = ", ".join(f"{name} {text[:20]!r}" for name, text in skips.items())
        raise InputError(
            "PE-NII-015",
            f"the header of {path} has {said}, expected none but before raw voxels in another file",
            "write it anew, or as NIfTI",
        )


def _other(path: Path, what: str) -> InputError:
    return InputError("PE-IN-020", f"{path} {what}", "it may be damaged: copy or download it again")
