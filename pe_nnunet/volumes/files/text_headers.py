"""The text at the head of NRRD, MHA and MHD files, read by itself: what it says, and in which file the voxels lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.files.image_writer import PAIR_SUFFIX, image_suffix

MAX_HEADER_BYTES = 4 << 20  # headers of segmentations hold a few hundred bytes a segment
NRRD_SUFFIXES = frozenset({".nrrd", ".seg.nrrd"})
META_SUFFIXES = frozenset({".mha", ".mhd"})

Fields = dict[str, str]


def nrrd_header(path: Path) -> tuple[Fields, Fields]:
    """The header of an NRRD file.

    Returns:
        Its fields, the names in lower case, without spaces, as `spacedirections`; and its key/value pairs, as they are.

    Source:
        NRRD format, version 5, sections 3 to 6.
    """
    fields: Fields = {}
    pairs: Fields = {}
    for line in _lines(path)[1:]:
        if not line.startswith("#"):
            pair = re.match(r"(.*?):=(.*)", line)
            if pair is not None:
                pairs.setdefault(pair[1], pair[2])
            elif ":" in line:
                name, value = line.split(":", 1)
                fields.setdefault(re.sub(r"[\s_-]+", "", name).lower(), value.strip())
    return fields, pairs


def meta_header(path: Path) -> Fields:
    """The tags of an MHA or MHD file, by their names in lower case.

    Source:
        MetaIO's description of the MetaImage format.
    """
    tags: Fields = {}
    for line in _lines(path):
        name, is_tag, value = line.partition("=")
        if is_tag:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


_ONE_THING = {  # other names for what may be said once
    "elementbyteordermsb": "binarydatabyteordermsb",
    "position": "offset",
    "origin": "offset",
    "orientation": "transformmatrix",
    "rotation": "transformmatrix",
    "centerings": "centers",
}
_META_NAMES = {  # as MetaIO, which passes over other spellings, writes them
    name.lower(): name
    for name in (
        *("ObjectType", "NDims", "DimSize", "HeaderSize", "Modality", "SequenceID", "Color", "DistanceUnits"),
        *("BinaryData", "BinaryDataByteOrderMSB", "CompressedData", "CompressedDataSize", "CompressionLevel"),
        *("Position", "Offset", "Origin", "Orientation", "Rotation", "TransformMatrix", "CenterOfRotation"),
        *("AnatomicalOrientation", "ElementSpacing", "ElementSize", "ElementType", "ElementByteOrderMSB"),
        *("ElementMin", "ElementMax", "ElementNumberOfChannels", "ElementDataFile"),
        *("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"),
    )
}
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
MAX_FIELD_BYTES = 512  # ITK's reader of NRRD ends the process at values of 1,000 that it cannot parse


def require_plain_lines(path: Path) -> None:
    """Check that a header of NRRD or MetaImage says everything once, in lines that its format knows.

    Raises:
        InputError: PE-NII-015 for a line that is none, or too long, or a thing said twice with different values.
    """
    meta = image_suffix(path) in META_SUFFIXES
    said: Fields = {}
    for line in _lines(path)[0 if meta else 1 :]:
        if not line.strip() or (not meta and line.startswith("#")):
            continue
        pair = not meta and re.match(r"[^:]*:=", line) is not None
        name, sign, value = line.partition(":=" if pair else "=" if meta else ":")
        if not sign or not name.strip() or (not pair and _CONTROL.search(line)):
            raise _no_header(path, f"has a line that is no part of one: {line[:60]!r}")
        if meta and _META_NAMES.get(name.strip().lower(), name.strip()) != name.strip():
            raise _no_header(path, f"has {name.strip()!r}, expected {_META_NAMES[name.strip().lower()]!r}")
        if not meta and not pair and len(line) > MAX_FIELD_BYTES:
            raise _no_header(path, f"has a line of {len(line)} bytes, {line[:40]!r}")
        key = f"{name}:=" if pair else re.sub(r"[\s_-]+", "", name).lower()
        first = said.setdefault(_ONE_THING.get(key, key), value.strip())
        if first.lower() != value.strip().lower():
            raise _no_header(
                path, f"says twice what {name.strip()[:60]!r} is: {first[:60]!r} and {value.strip()[:60]!r}"
            )


def _no_header(path: Path, what: str) -> InputError:
    return InputError("PE-NII-015", f"the header of {path} {what}", "write it anew, or as NIfTI")


def data_files(path: Path) -> list[Path]:
    """The file that holds the voxels of a detached header (NRRD, MHD, a NIfTI pair); none for other files.

    Raises:
        InputError: PE-NII-011 for several files, an absolute path or one that leads out of the folder, by links too,
            and for a header of which it is not plain what it names: one from elsewhere must not make this program read
            any file. PE-IN-002 if the file is not there.
    """
    suffix = image_suffix(path)
    if suffix in NRRD_SUFFIXES | META_SUFFIXES:
        _require_lines_as_libraries_part_them(path)
    if suffix in NRRD_SUFFIXES:
        _require_one_name(path, rb"^[ \t]*data[ _-]*file", required=False)
        name = nrrd_header(path)[0].get("datafile", "LOCAL")
    elif suffix in META_SUFFIXES:
        _require_one_name(path, rb"elementdatafile", required=True)
        name = meta_header(path).get("elementdatafile", "")
    elif suffix == PAIR_SUFFIX:
        name = _image_of_pair(path).name
    else:
        return []
    if name in (_LOCAL_META if suffix in META_SUFFIXES else {"LOCAL"}):
        return []
    named = Path(name)
    several = name.upper().startswith("LIST") or "%" in name or not name
    if several or named.is_absolute() or ".." in named.parts:
        raise InputError(
            "PE-NII-011",
            f"{path} keeps its voxels in {name!r}, expected one file beside it",
            "write it as one .nrrd or .mha file",
        )
    data = path.parent / named
    if not _is_file(data):
        raise InputError(
            "PE-IN-002", f"{str(data)[:500]}, named in {path.name}, does not exist", "copy it beside the header"
        )
    if not data.resolve().is_relative_to(path.parent.resolve()):
        raise InputError(
            "PE-NII-011", f"{data}, named in {path.name}, is a link out of its folder", "copy the file itself there"
        )
    return [data]


def _require_lines_as_libraries_part_them(path: Path) -> None:
    """Check that a header has lines that every reader parts and takes alike.

    MetaIO reads fields on over the ends of lines where a sign of equality or a number is missing, and NRRD's library
    takes a carriage return for an end of a line: what follows would name another file than the one checked here.
    """
    lines = _raw_lines(path)
    plain = not any(b"\0" in line or b"\r" in line.removesuffix(b"\n").removesuffix(b"\r") for line in lines)
    if plain and image_suffix(path) in META_SUFFIXES:
        fields = [_META_FIELD.fullmatch(line) for line in lines if line.strip()]
        found = {field[1].decode().lower(): len(field[2].split()) for field in fields if field is not None}
        axes = meta_header(path).get("ndims", "0")
        plain = (
            len(found) == len(fields)
            and axes.isdecimal()
            and all(found[name] >= int(axes) ** power for name, power in META_ARRAYS.items() if name in found)
        )
    if not plain:
        raise InputError(
            "PE-NII-011",
            f"{path} has a header in which lines end, or are laid out, otherwise than its format says",
            "write it as one .nrrd or .mha file",
        )


_LOCAL_META = frozenset({"LOCAL", "Local", "local"})  # as MetaIO spells it
_META_FIELD = re.compile(rb"[ \t]*([A-Za-z]\w{0,63})[ \t]*=([^\n]*\S[^\n]*)\n?")
META_ARRAYS = {  # numbers that a field has, as a power of the number of axes
    **dict.fromkeys(("centerofrotation", "dimsize", "elementsize", "elementspacing", "sequenceid"), 1),
    **dict.fromkeys(("offset", "origin", "position"), 1),
    **dict.fromkeys(("orientation", "rotation", "transformmatrix"), 2),
}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _require_one_name(path: Path, pattern: bytes, *, required: bool) -> None:
    """Check that a header names its data once, and in the way that is read here.

    Libraries take other spellings too (a colon for the sign of equality, blanks before it): what they read must be what
    was checked.
    """
    count = len(re.findall(pattern, b"\n".join(_raw_lines(path)), re.IGNORECASE | re.MULTILINE))
    if count > 1 or (required and not count):
        raise InputError(
            "PE-NII-011",
            f"{path} names its voxels' file {count} times, expected {'once' if required else 'at most once'}",
            "write it as one .nrrd or .mha file",
        )


def where_voxels_are(path: Path, files: Sequence[Path]) -> tuple[Path, int]:
    """The file with the voxels, and how many bytes lie before them.

    Args:
        path: With the header.
        files: What `data_files` gave.
    """
    return (files[0], 0) if files else (path, header_bytes(path))


def header_bytes(path: Path) -> int:
    """Length of the header, up to the first byte of voxels that follow it in the same file."""
    return sum(map(len, _raw_lines(path)))


def _image_of_pair(path: Path) -> Path:
    """The .img of a .hdr, in capitals if that is."""
    ending = ".IMG" if path.suffix.isupper() else ".img"
    return next(
        (path.with_suffix(end) for end in (ending, f"{ending}.gz") if path.with_suffix(end).is_file()),
        path.with_suffix(ending),
    )


def _lines(path: Path) -> list[str]:
    """Lines of the header as text, without what ends it in NRRD, an empty line."""
    texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in _raw_lines(path)]
    return texts[:-1] if texts and not texts[-1] else texts


def _raw_lines(path: Path) -> list[bytes]:
    """Lines of the header: up to an empty one in NRRD, up to the name of the data in MetaImage.

    Raises:
        InputError: PE-NII-011 for a header that does not end, of which more could follow than is read here.
    """
    lines: list[bytes] = []
    left = MAX_HEADER_BYTES
    meta = image_suffix(path) in META_SUFFIXES
    with path.open("rb") as file:
        while line := file.readline(left):
            left -= len(line)
            lines.append(line)
            if meta and re.match(rb"\s*elementdatafile\s*=", line, re.IGNORECASE):
                return lines
            if not meta and not line.rstrip(b"\r\n"):
                return lines
            if left <= 0:
                raise InputError(
                    "PE-NII-011",
                    f"{path} has a header of more than {MAX_HEADER_BYTES >> 20} MiB",
                    "write it as one .nrrd or .mha file",
                )
    return lines
