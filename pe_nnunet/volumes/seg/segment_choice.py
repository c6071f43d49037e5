"""Which segments of a segmentation are meant: those of a name, or all where they are called alike."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from pathlib import Path

from pe_nnunet.errors import InputError

_UNNAMED = {"", "segment", "label"}  # of 3D Slicer and OHIF, and of ITK-SNAP


def chosen_segments(found: Mapping[int, str], names: str | None, path: Path) -> list[int]:
    """The numbers of those segments or regions that are meant.

    Args:
        found: Name of each by its number.
        names: A shell pattern for names, upper or lower case. Without it all are taken, which must then be called alike
            but for numbers, for they may be of other things. Segments that nobody has named, as programs call new ones
            ("Segment_1"), may stand beside some that are called emboli.
        path: For messages.

    Raises:
        InputError: PE-SEG-003 if there is none of that name, or several that are not called alike.

    Example:
        >>> chosen_segments({1: "Embolus 1", 2: "lung", 3: "embolus"}, "embol*", Path("a.dcm"))
        [1, 3]
    """
    listed = ", ".join(repr(name) for name in list(found.values())[:8]) or "none"
    if names is not None:
        chosen = [number for number, name in found.items() if fnmatch(name.lower(), names.lower())]
        if not chosen:
            raise InputError("PE-SEG-003", f"{path.name} holds no {names!r}, but {listed}", "see --segments")
        return chosen
    if len(_meant(found.values())) > 1:
        raise InputError(
            "PE-SEG-003", f"{path.name} holds several things: {listed}", "say which are meant: --segments 'embol*'"
        )
    return list(found)


def _meant(names: Collection[str]) -> set[str]:
    """What segments are called but for numbers; those without a name of their own, beside emboli, are emboli."""
    meant = {re.sub(r"[\W\d_]+", "", name).lower() for name in names}
    return meant - _UNNAMED if any("embol" in name for name in meant) else meant
