"""The text at the head of NRRD, MHA and MHD files, read by itself: what it says, and in which file the voxels lie."""

from __future__ import annotations

import re
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


def data_files(path: Path) -> list[Path]:
    """The file that holds the voxels of a detached header (NRRD, MHD, a NIfTI pair); none for other files.

    Raises:
        InputError: PE-NII-011 for several files, an absolute path or one that leads out of the folder: a header from
            elsewhere must not make this program read any file. PE-IN-002 if it is not there.
    """
    suffix = image_suffix(path)
    if suffix in NRRD_SUFFIXES:
        name = nrrd_header(path)[0].get("datafile", "LOCAL")
    elif suffix in META_SUFFIXES:
        name = meta_header(path).get("elementdatafile", "LOCAL")
    elif suffix == PAIR_SUFFIX:
        name = _image_of_pair(path).name
    else:
        return []
    if name.upper() == "LOCAL":
        return []
    named = Path(name)
    several = name.upper().startswith("LIST") or "%" in name
    if several or named.is_absolute() or ".." in named.parts:
        raise InputError(
            "PE-NII-011",
            f"{path} keeps its voxels in {name!r}, expected one file beside it",
            "write it as one .nrrd or .mha file",
        )
    data = path.parent / named
    if not data.is_file():
        raise InputError("PE-IN-002", f"{data}, named in {path.name}, does not exist", "copy it beside the header")
    return [data]


def _image_of_pair(path: Path) -> Path:
    """The .img of a .hdr, in capitals if that is."""
    ending = ".IMG" if path.suffix.isupper() else ".img"
    return next(
        (path.with_suffix(end) for end in (ending, f"{ending}.gz") if path.with_suffix(end).is_file()),
        path.with_suffix(ending),
    )


def _lines(path: Path) -> list[str]:
    """Lines of the header: up to an empty one in NRRD, up to the name of the data in MetaImage."""
    lines: list[str] = []
    left = MAX_HEADER_BYTES
    with path.open("rb") as file:
        while left > 0 and (line := file.readline(left)):
            left -= len(line)
            text = line.rstrip(b"\r\n").decode("utf-8", "replace")
            if not text and lines:
                break
            lines.append(text)
            if re.match(r"elementdatafile\s*=", text.strip(), re.IGNORECASE):
                break
    return lines
