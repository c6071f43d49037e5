"""What an interrupted run left behind, and whether another process is at work."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pe_nnunet.files.locks import is_locked
from pe_nnunet.verification.findings import Finding

# Names of `files.temporary`; and, of older versions, of other writers of models, detectors and checkpoints.
_TEMPORARY = re.compile(
    r"\.(writing-[0-9a-f]{16}\b|install_|importing-\d|training-).*|\..+\.(part|tmp|building|replaced)", re.DOTALL
)
_OF_A_FOLDER = ("building", "replaced", "part")
_LOCK = ".lock"


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is one that is written before it is renamed.

    Example:
        >>> is_temporary(".writing-0123456789abcdef.nii.gz"), is_temporary(".checkpoint_best.pth.tmp")
        (True, True)
        >>> is_temporary("case_1.nii.gz")
        False
    """
    return _TEMPORARY.fullmatch(name) is not None


def leftovers(place: Path) -> list[Finding]:
    """What lies in a folder, and beside it under its name, that a complete run takes away.

    Args:
        place: A folder; links in it are not followed.
    """
    found = [path for ending in _OF_A_FOLDER if (path := place.with_name(f".{place.name}.{ending}")).exists()]
    locks = [path for path in (place.with_name(f".{place.name}{_LOCK}"),) if path.is_file()]
    for folder, folders, files in os.walk(place):
        here = Path(folder)
        found += [here / name for name in (*folders, *files) if is_temporary(name)]
        found += [here / name for name in folders if name == "unfinished" and here.name == "pe_nnunet"]
        folders[:] = [name for name in folders if here / name not in found]
        locks += [here / name for name in files if name.startswith(".") and name.endswith(_LOCK)]
    busy = [
        Finding("PE-OUT-014", "error", f"another process is writing into {path.parent}: verify when it is done")
        for path in locks
        if is_locked(path)
    ]
    return busy + [
        Finding("PE-VER-007", "error", f"{path} was left by a run that was interrupted, or still runs")
        for path in sorted(found)
    ]
