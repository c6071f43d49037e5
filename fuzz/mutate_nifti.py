"""Changes of NIfTI: fields of the header, extensions, voxels, and the gzip around them."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import nibabel as nib
import numpy as np

from fuzz.mutate_bytes import change_bytes
from fuzz.sample import Files, Mutated, Rng, pick

NUMBERS = (
    0.0, 1.0, -1.0, 2.0, 3.0, 0.5, 1e-38, 1e38, 1e300, float("nan"), float("inf"), -2.0, 348.0, 352.0, 1e-3, 255.0,
)  # fmt: skip
CODES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2304, -1, 32767)


def change_nifti(rng: Rng, files: Files) -> Mutated:
    """One change of a NIfTI file, or of one of a pair."""
    name = pick(rng, sorted(files))
    content = files[name]
    if not name.endswith(".gz"):
        changed, what = _change_plain(rng, content)
        return {**files, name: changed}, f"{name}: {what}"
    if rng.random() < 0.2:
        changed, what = change_bytes(rng, content)
        return {**files, name: changed}, f"gzip: {what}"
    try:
        plain = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        changed, what = change_bytes(rng, content)
        return {**files, name: changed}, f"gzip again: {what}"
    changed, what = _change_plain(rng, plain)
    packed = gzip.compress(changed, 1, mtime=0)
    kind = rng.random()
    if kind < 0.05:
        packed += gzip.compress(b"more", mtime=0)
        what += ", a second member"
    elif kind < 0.1:
        half = len(changed) // 2
        packed = gzip.compress(changed[:half], mtime=0) + gzip.compress(changed[half:], mtime=0)
        what += ", in two members"
    elif kind < 0.13:
        packed += bytes(int(rng.integers(1, 600)))
        what += ", zeros behind"
    elif kind < 0.16:
        packed = packed[:-8] + rng.integers(0, 256, 8, dtype="u1").tobytes()
        what += ", another checksum"
    return {**files, name: packed}, what


def _change_plain(rng: Rng, content: bytes) -> tuple[bytes, str]:
    if len(content) < 540 or rng.random() < 0.2:
        return change_bytes(rng, content)
    two, order = content[:4] in {b"\x1c\x02\0\0", b"\0\0\x02\x1c"}, "<" if content[1] or content[0] else ">"
    kind: Any = (nib.nifti2.Nifti2Header if two else nib.nifti1.Nifti1Header).template_dtype.newbyteorder(order)
    header = np.frombuffer(content[: kind.itemsize], kind).copy()
    field = pick(rng, kind.names)
    old = header[field][0]
    if isinstance(old, bytes):
        header[field] = pick(rng, (b"", b"n+1", b"ni1", b"n+2", b"\xff\xfe", b"x" * 99))
    else:
        values = np.atleast_1d(header[field][0]).copy()
        k = int(rng.integers(values.size)) if rng.random() < 0.8 else slice(None)
        new: Any = pick(rng, NUMBERS) if values.dtype.kind == "f" or rng.random() < 0.4 else pick(rng, CODES)
        if field == "dim" and rng.random() < 0.6:
            new = pick(rng, (0, 1, 2, 3, 4, 5, 6, 7, 10, 12, 13, 720, 32767, -1))
        with np.errstate(all="ignore"):
            values[k] = np.asarray(np.nan_to_num(new) if values.dtype.kind != "f" else new, "f8").astype(values.dtype)
        header[field] = values if header[field][0].shape else values[0]
    return header.tobytes() + content[kind.itemsize :], f"{field} {old} -> {header[field][0]}"[:150]
