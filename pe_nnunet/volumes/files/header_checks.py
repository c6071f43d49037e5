"""What NRRD and MetaImage headers say of a grid, and ITK passes over or reads otherwise: noted, or refused."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.files.text_headers import (
    META_ARRAYS,
    META_SUFFIXES,
    NRRD_SUFFIXES,
    Fields,
    meta_header,
    nrrd_header,
    require_plain_lines,
)

# Spaces that name the patient's directions; ITK takes all others for left, posterior, superior
_ANATOMICAL = frozenset({"leftposteriorsuperior", "rightanteriorsuperior", "leftanteriorsuperior", "lps", "ras", "las"})
_OTHER_SPACES = frozenset({"scannerxyz", "3drighthanded", "3dlefthanded"})
_MILLIMETRES = frozenset({"", "mm", "millimeter", "millimeters", "millimetre", "millimetres", "?", "???", "none"})
_VECTORS = r"(none|\([^(),]+(,[^(),]+)*\))(\s+(none|\([^(),]+(,[^(),]+)*\)))*"
_SAME_SPACING = 1e-3  # of the spacing: what headers round to
_ALONG = 0.3  # an axis that is called by one of the patient's directions runs at least so far along it


def require_readable_header(path: Path) -> tuple[Note, ...]:
    """Check the header of an NRRD, MHA or MHD file before ITK reads it; others have nothing to check here.

    Returns:
        PE-NII-012 where it names no patient's directions, PE-NII-014 where it contradicts itself.

    Raises:
        GeometryError: PE-NII-006 axes that span no space, PE-NII-007 a spacing that is none.
        InputError: PE-NII-001 an axis of time, PE-NII-015 something that ITK reads otherwise than the format defines.
    """
    suffix = image_suffix(path)
    if suffix in NRRD_SUFFIXES or suffix in META_SUFFIXES:
        require_plain_lines(path)
    if suffix in NRRD_SUFFIXES:
        fields = nrrd_header(path)[0]
        return _with_origin(_nrrd(fields, path), fields.get("spaceorigin"), path)
    if suffix in META_SUFFIXES:
        tags = meta_header(path)
        named = (tags[name] for name in ("offset", "position", "origin") if name in tags)
        return _with_origin(_meta(tags, path), next(named, None), path)
    return ()


def _with_origin(notes: tuple[Note, ...], origin: str | None, path: Path) -> tuple[Note, ...]:
    """The notes, with one where the header has no origin, which ITK takes for zero as it does one that is no number."""
    if origin is not None and len(re.findall(r"\(", origin)) > 1:
        raise _otherwise(path, f"has the origin {origin[:80]}, expected one vector", "write it anew")
    if origin is None:
        if any(note.code == "PE-NII-012" for note in notes):
            return notes
        return (*notes, Note("PE-NII-012", "warning", "no origin in the header: taken as 0, 0, 0"))
    if not all(map(math.isfinite, _numbers(re.sub(r"[(),]", " ", origin)))):
        raise _otherwise(path, f"has the origin {origin}, which ITK takes for zero", "write where its first voxel lies")
    return notes


def _nrrd(fields: Fields, path: Path) -> tuple[Note, ...]:
    kinds = fields.get("kinds", "").lower().split()
    if "time" in kinds and len(kinds) < 4:
        raise InputError("PE-NII-001", f"{path} has an axis of time among its three", "give one 3D volume")
    for name in ("spacedirections", "spaceorigin", "measurementframe"):
        if re.fullmatch(_VECTORS, fields.get(name, "none")) is None:
            raise _otherwise(path, f"has a {name} {fields[name][:80]!r} that is no vectors", "write it anew")
    units = re.findall(r'"([^"]*)"', fields.get("spaceunits", fields.get("units", "")))
    if "spaceunits" in fields or len(units) == 3:  # of more axes than three, one may be of time
        _require_millimetres(units[:3], path)
    space = re.sub(r"[\s_-]+", "", fields.get("space", "")).lower()
    known = space.removesuffix("time") if space not in {"", "time"} else space
    if space and known not in _ANATOMICAL | _OTHER_SPACES and known not in {"last", "rast", "lpst"}:
        raise _otherwise(path, f"has the space {fields['space']!r}, which the format does not know", "write it as LPS")
    spacings = _numbers(fields.get("spacings", ""))
    directions = fields.get("spacedirections", "")
    spatial = [text for text in re.findall(r"\([^)]*\)", directions) if "nan" not in text.lower()]
    if directions and len(spatial) < 3:
        raise _otherwise(path, f"gives directions to {len(spatial)} axes of space, expected three", "write all three")
    if any(not any(_numbers(re.sub(r"[(),]", " ", text))) for text in spatial):
        raise GeometryError("PE-NII-007", f"{path} has a direction of length zero: {directions}", "write it anew")
    if directions and not space and "spacedimension" not in fields:
        raise _otherwise(path, "gives directions of axes in a space that it does not name", "write `space` before them")
    if space and spacings:
        raise _otherwise(path, "names a space, and spacings without directions", "write `space directions` instead")
    of_axes = [mm for mm in spacings if not math.isnan(mm)] if len(spacings) > 3 else spacings  # NaN: no axis of space
    if any(not mm > 0 for mm in of_axes):
        raise GeometryError(
            "PE-NII-007", f"{path} has spacings {fields['spacings']}, expected millimetres above zero", "write it anew"
        )
    notes = list(_axis_ranges(fields, spacings, path))
    by_itk = fields.get("spacedimension") == "4"  # what ITK writes of four axes, for which there is no name of LPS
    if not by_itk and (known not in _ANATOMICAL | {"last", "rast", "lpst"} or not directions):
        says = f"space {fields['space']}" if space and directions else "no orientation"
        text = f"{says} in the header: axes taken as left, posterior, superior"
        notes.append(Note("PE-NII-012", "warning", text))
    return tuple(notes)


def _axis_ranges(fields: Fields, spacings: Sequence[float], path: Path) -> tuple[Note, ...]:
    """Spacing by the lowest and highest positions along the axes, which ITK does not read.

    Source:
        NRRD format, section 5: samples are cells between the two where nothing says that they are nodes.
    """
    low, high = _numbers(fields.get("axismins", "")), _numbers(fields.get("axismaxs", ""))
    sizes = _numbers(fields.get("sizes", ""))
    if not sizes or len(low) != len(sizes) or len(high) != len(sizes) or not np.isfinite([*low, *high]).all():
        return ()
    nodes = ["node" in text for text in fields.get("centers", fields.get("centerings", "")).lower().split()]
    nodes += [False] * (len(sizes) - len(nodes))
    found = [(b - a) / max(n - node, 1) for a, b, n, node in zip(low, high, sizes, nodes, strict=True)]
    axes = ", ".join(f"{mm:.5g}" for mm in found)
    if not spacings:
        raise _otherwise(path, f"gives no spacings but axis mins and maxs, by which they are {axes}", "write spacings")
    if all(abs(a - b) <= _SAME_SPACING * abs(b) for a, b in zip(found, spacings, strict=False)):
        return ()
    text = f"spacings {fields['spacings']} taken, as ITK does (by axis mins and maxs they are {axes})"
    return (Note("PE-NII-014", "warning", text),)


_FLAGS = ("binarydata", "binarydatabyteordermsb", "elementbyteordermsb", "compresseddata")
_ARRAYS = {name: power for name, power in META_ARRAYS.items() if name not in {"dimsize", "sequenceid"}}
"""Tags of as many numbers as there are axes, to this power; of a size, whole ones, which is checked by itself."""
_MOST_AXES = 10  # of MetaIO, which ends the process at more


def _require_meta_values(tags: Fields, path: Path) -> None:
    """Check values by which ITK would read other voxels, or none, without a word."""
    axes = tags.get("ndims", "")
    if not (axes.isdecimal() and 1 <= int(axes) <= _MOST_AXES):
        raise _otherwise(path, f"has NDims {axes[:80]!r}, expected 3", "write it anew")
    size = tags.get("dimsize", "").split()
    if len(size) != int(axes) or not all(part.isdecimal() and int(part) > 0 for part in size):
        raise _otherwise(
            path, f"has DimSize {tags.get('dimsize', '')[:80]!r}, expected {axes} numbers", "write it anew"
        )
    for name, count in _ARRAYS.items():  # MetaIO goes on with the next line where one is too short
        numbers = tags.get(name, "").split()
        if name in tags and (len(numbers) != int(axes) ** count or len(_numbers(tags[name])) != len(numbers)):
            raise _otherwise(
                path, f"has {name} {tags[name][:80]!r}, expected {int(axes) ** count} numbers", "write it anew"
            )
    for flag in _FLAGS:
        if tags.get(flag, "true").lower() not in {"true", "false"}:
            raise _otherwise(path, f"has {flag} {tags[flag][:80]!r}, expected True or False", "write it anew")
    packed = tags.get("compresseddatasize", "1")
    if not (packed.isdecimal() and int(packed) > 0):
        raise _otherwise(path, f"has CompressedDataSize {packed[:80]!r}, expected bytes", "write it anew")
    skipped, local = tags.get("headersize", "0"), tags.get("elementdatafile", "").upper() == "LOCAL"
    if skipped != "0" and (local or not (skipped == "-1" or skipped.isdecimal())):
        raise _otherwise(path, f"has HeaderSize {skipped[:80]!r}, expected 0", "write it anew")


def _meta(tags: Fields, path: Path) -> tuple[Note, ...]:
    _require_meta_values(tags, path)
    _require_millimetres([tags.get("distanceunits", "")], path)
    slope, offset = tags.get("elementtointensityfunctionslope", "1"), tags.get("elementtointensityfunctionoffset", "0")
    if _numbers(slope) != [1.0] or _numbers(offset) != [0.0]:
        raise _otherwise(path, f"scales its values by {slope} and {offset}, which ITK leaves out", "write them scaled")
    for tag in ("elementspacing", "elementsize"):
        spacing = _numbers(tags.get(tag, "1"))
        if any(not mm > 0 for mm in spacing):
            raise GeometryError(
                "PE-NII-007", f"{path} has {tag} {tags[tag]}, expected millimetres above zero", "write it anew"
            )
    matrix = next((_numbers(tags[tag]) for tag in ("transformmatrix", "orientation", "rotation") if tag in tags), [])
    letters = tags.get("anatomicalorientation", "").upper()
    named = len(letters) == 3 and "?" not in letters
    if not matrix and not named:
        text = "no orientation in the header: axes taken as left, posterior, superior"
        return (Note("PE-NII-012", "warning", text),)
    if len(matrix) not in {0, 9}:
        return ()
    rows = np.array(matrix or np.eye(3).ravel()).reshape(3, 3)  # one axis a row
    lengths = np.linalg.norm(rows, axis=1)
    if not np.isfinite(rows).all() or abs(np.linalg.det(rows)) < 1e-6:
        raise GeometryError("PE-NII-006", f"{path} has a TransformMatrix whose axes span no space", "write it anew")
    notes = []
    if np.abs(lengths - 1).max() > _SAME_SPACING:
        spacing = _numbers(tags.get("elementspacing", tags.get("elementsize", "1 1 1")))
        scaled = ", ".join(f"{mm * length:.5g}" for mm, length in zip(spacing, lengths, strict=False))
        text = (
            f"spacing {', '.join(map(str, spacing))} mm taken, as ITK does (by its TransformMatrix it is {scaled} mm)"
        )
        notes.append(Note("PE-NII-014", "warning", text))
    if named and not _runs_as_named(rows / lengths[:, None], letters):
        text = f"axes taken by the TransformMatrix, as ITK does, though AnatomicalOrientation {letters} says otherwise"
        notes.append(Note("PE-NII-014", "warning", text))
    return tuple(notes)


def _runs_as_named(axes_lps: np.ndarray, letters: str) -> bool:
    """Whether axes, one a row, run as their letters say: `RAI` begins right, anterior, inferior, which is LPS."""
    begins = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "I": (2, 1), "S": (2, -1)}
    if not set(letters) <= begins.keys():
        return True  # says nothing that could be compared
    return all(
        sign * axis[k] >= _ALONG for axis, (k, sign) in zip(axes_lps, map(begins.__getitem__, letters), strict=True)
    )


def _require_millimetres(units: Sequence[str], path: Path) -> None:
    others = [unit for unit in units if unit.strip().lower() not in _MILLIMETRES]
    if others:
        raise _otherwise(path, f"gives lengths in {others[0]}, which ITK takes for millimetres", "write it in mm")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split()]
    except ValueError:
        return []


def _otherwise(path: Path, what: str, hint: str) -> InputError:
    return InputError("PE-NII-015", f"{path} {what}", f"{hint}, or as NIfTI")
