"""Changes of a text header with lines of `name: value` or `name = value`, and of the voxels behind it."""

from __future__ import annotations

import re

from fuzz.mutate_bytes import change_bytes
from fuzz.sample import Files, Mutated, Rng, pick

VALUES = (
    "", "0", "-1", "1", "2", "3", "4", "1e300", "1e-38", "nan", "inf", "-inf", "NaN NaN NaN", "99999999999999999999",
    "4294967296", "2147483648", "1 1 1", "0 0 0", "12 10", "12 10 6 1", "12 10 6 2", "65535 65535 65535", "True",
    "False", "LOCAL", "LIST", "/etc/passwd", "../other.raw", "other.raw", "raw", "gzip", "bzip2", "zlib", "hex",
    "text", "short", "uchar", "float", "double", "int64", "uint16", "MET_SHORT", "MET_FLOAT", "MET_UCHAR",
    "MET_ULONG", "block", "little", "big", "left-posterior-superior", "right-anterior-superior", "scanner-xyz",
    "(1,0,0) (0,1,0) (0,0,1)", "(2,0,0) (0,2,0) (0,0,-2)", "none (1,0,0) (0,1,0)", "(nan,0,0) (0,1,0) (0,0,1)",
    "(1,0,0) (1,0,0) (0,0,1)", "1 0 0 0 1 0 0 0 1", "0 0 0 0 0 0 0 0 0", "1 0 0 0 0 1 0 -1 0", "RAI", "LPS", "???",
    "\x00", "é", "%s%n", "A" * 5000,
)  # fmt: skip
NRRD_LINES = (
    b"line skip: 1", b"byte skip: 2", b"byte skip: -1", b"lineskip: 1", b"byteskip: 5", b"data file: other.raw",
    b"datafile: LIST", b"spacings: 2 2 2", b"axis mins: 0 0 0", b"centers: cell cell cell", b"old min: 0", b"max: 5",
    b"kinds: domain domain domain", b"kinds: list domain domain", b"units: mm mm mm",
    b"space units: \"mm\" \"mm\" \"m\"", b"measurement frame: (1,0,0) (0,1,0) (0,0,1)", b"number: 720",
    b"sample units: HU", b"block size: 2", b"endian: big", b"encoding: raw", b"a:=b", b"# a comment",
    b"thicknesses: 1 1 1", b"space origin: (1,2,3)",
)  # fmt: skip
META_LINES = (
    b"HeaderSize = -1", b"HeaderSize = 10", b"HeaderSize = 99999999", b"ElementNumberOfChannels = 2",
    b"BinaryDataByteOrderMSB = True", b"ElementByteOrderMSB = True", b"CompressedDataSize = 5",
    b"CompressedDataSize = 99999999", b"CompressedData = True", b"ElementSize = 3 3 3", b"Offset = 1 2 3",
    b"Origin = 9 9 9", b"Position = 5 5 5", b"Rotation = 0 1 0 1 0 0 0 0 1", b"Modality = MET_MOD_CT",
    b"ElementMin = 0", b"Comment = a", b"Color = 1 0 0 1", b"BinaryData = False", b"NDims = 3",
    b"AnatomicalOrientation = LPS", b"CenterOfRotation = 1 1 1", b"ElementToIntensityFunctionSlope = 2", b"ID = 3",
)  # fmt: skip


def change_text(rng: Rng, files: Files, name: str, end: re.Pattern[bytes], lines: tuple[bytes, ...]) -> Mutated:
    """One change of a file with a text header.

    Args:
        rng: Chooses.
        files: Of the case.
        name: The file with the header.
        end: What matches the end of the header.
        lines: Lines that may be put in.
    """
    found = end.search(files[name])
    if found is None or rng.random() < 0.25:
        other = pick(rng, sorted(files))
        content, what = change_bytes(rng, files[other])
        return {**files, other: content}, f"{other}: {what}"
    head, rest = files[name][: found.end()], files[name][found.end() :]
    if rng.random() < 0.1:
        rest, what = change_bytes(rng, rest)
        return {**files, name: head + rest}, f"voxels: {what}"
    head, what = _change_head(rng, head, lines)
    return {**files, name: head + rest}, f"{name}: {what}"


def _change_head(rng: Rng, head: bytes, lines: tuple[bytes, ...]) -> tuple[bytes, str]:
    rows = head.split(b"\n")
    at = int(rng.integers(len(rows)))
    kind = int(rng.integers(9))
    name, sign, value = _parts(rows[at])
    if kind <= 2 and sign:
        new = pick(rng, VALUES).encode("latin-1", "replace")
        rows[at] = name + sign + b" " + new
        return b"\n".join(rows), f"{name.decode('latin-1')} set to {new[:40]!r}"
    if kind == 3 and sign:
        numbers = value.split()
        if numbers:
            k = int(rng.integers(len(numbers)))
            numbers[k] = pick(rng, VALUES).encode("latin-1", "replace")
            rows[at] = name + sign + b" " + b" ".join(numbers)
        return b"\n".join(rows), f"a value of {name.decode('latin-1')} changed"
    if kind == 4:
        row = rows.pop(at)
        return b"\n".join(rows), f"without {row[:30]!r}"
    if kind == 5:
        rows.insert(at, pick(rng, lines))
        return b"\n".join(rows), f"with {rows[at]!r} as line {at}"
    if kind == 6:
        rows.insert(at, rows[int(rng.integers(len(rows)))])
        return b"\n".join(rows), f"{rows[at][:30]!r} once more as line {at}"
    if kind == 7:
        rows[at] = pick(rng, (b" ", b"\t", b"\r", b"\x00", b"# ")) + rows[at]
        return b"\n".join(rows), f"{rows[at][:30]!r} begins otherwise"
    other = int(rng.integers(len(rows)))
    rows[at], rows[other] = rows[other], rows[at]
    return b"\n".join(rows), f"lines {at} and {other} exchanged"


def _parts(row: bytes) -> tuple[bytes, bytes, bytes]:
    found = re.match(rb"([^:=]*?)(\s*(?::=|:|=))(.*)", row, re.DOTALL)
    return (found[1], found[2], found[3]) if found else (row, b"", b"")


def change_nrrd(rng: Rng, files: Files) -> Mutated:
    """One change of an NRRD file or of its data."""
    name = next(n for n in files if n.endswith((".nrrd", ".nhdr")))
    return change_text(rng, files, name, re.compile(rb"\n\r?\n|\Z"), NRRD_LINES)


def change_meta(rng: Rng, files: Files) -> Mutated:
    """One change of an MHA or MHD file or of its data."""
    name = next(n for n in files if n.endswith((".mha", ".mhd")))
    return change_text(rng, files, name, re.compile(rb"ElementDataFile[^\n]*\n|\Z"), META_LINES)
