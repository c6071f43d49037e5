"""Case ids from paths: short, unique, and fit for file names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.write import image_suffix

LONGEST = 120  # file systems take 255 bytes, and endings, suffixes and a temporary prefix come on top
GENERIC_NAMES = frozenset({"ct", "ctpa", "image", "img", "scan", "volume", "dicom", "dcm", "series"})


def case_ids(paths: Sequence[Path], root: Path) -> list[str]:
    """Name every case by its path under `root`.

    The image ending and a trailing `_0000` go; path components that all cases share go, as `ct` in `a/ct`, `b/ct`; what
    is left is joined by `_` and cleaned to letters, digits, `_` and `-`. A single case has its own file's or folder's
    name, or its folder's where that name says nothing (`a/ct.nii.gz` -> `a`).

    Args:
        paths: Volume files and DICOM folders, under `root` or `root` itself.
        root: Where the search began.

    Returns:
        One id per path, in their order.

    Raises:
        InputError: PE-IN-004 if two paths would get one id.

    Example:
        >>> case_ids([Path("in/a/ct"), Path("in/b/ct.nii.gz")], Path("in"))
        ['a', 'b']
    """
    parts = [[*path.relative_to(root).parts[:-1], _stem(path)] if path != root else [_stem(path)] for path in paths]
    parts = [_own_name(parts[0])] if len(parts) == 1 else _without_shared(parts)
    ids = [clean("_".join(components)) for components in parts]
    owner: dict[str, Path] = {}
    for case_id, path in zip(ids, paths, strict=True):
        other = owner.setdefault(case_id.lower(), path)  # file systems exist on which A.nii and a.nii are one file
        if other != path:
            raise InputError(
                "PE-IN-004",
                f"{other} and {path} would both be case {case_id!r}",
                "rename one of them, or run them apart",
            )
    return ids


def clean(name: str) -> str:
    """Letters, digits, `_` and `-` only; whatever else becomes one `-`, and none stands at an end.

    A name of more than 120 letters ends in 12 hexadecimal digits of its hash instead.

    Example:
        >>> clean("Müller, P. (2)")
        'M-ller-P-2'
    """
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "case"
    if len(cleaned) <= LONGEST:
        return cleaned
    return f"{cleaned[: LONGEST - 13]}-{hashlib.sha256(cleaned.encode()).hexdigest()[:12]}"


def _stem(path: Path) -> str:
    suffix = image_suffix(path)
    name = path.name[: -len(suffix)] if suffix else path.name
    if not suffix and path.suffix.lower() in {".dcm", ".ima"}:
        name = path.stem
    return name.removesuffix("_0000") or name


def _own_name(components: list[str]) -> list[str]:
    generic = components[-1].lower() in GENERIC_NAMES and len(components) > 1
    return [components[-2] if generic else components[-1]]


def _without_shared(parts: list[list[str]]) -> list[list[str]]:
    """Drop what all share: leading components, trailing ones, then, where all are as deep, any in between."""
    while min(map(len, parts)) > 1 and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while min(map(len, parts)) > 1 and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    if len({len(p) for p in parts}) == 1:
        kept = [i for i in range(len(parts[0])) if len({p[i] for p in parts}) > 1]
        parts = [[p[i] for i in kept] for p in parts] if kept else parts
    return parts
