"""Rendered scans by their anatomy: which are trained on, which choose the threshold, which stay for tests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pe_nnunet.dataset.public_splits import CAD_PE_TEST
from pe_nnunet.errors import InputError

MASKS = ("emboli", "artery", "vein", "lung")
ENDINGS = (".nii.gz", ".nrrd")
HELD_OUT_OF_TEN = 2

Role = Literal["train", "held-out", "test"]


@dataclass(frozen=True)
class RenderedCase:
    """A rendered scan.

    Attributes:
        anatomy: Name of its folder; renderings of one anatomy share it.
        name: Of the scan, with the number of the folder of renderings that it is from.
        ct: File of the scan, HU.
        masks: Files on its grid: `emboli` holds ids, `artery` has the emboli in it, `vein` and `lung` 0 and 1.
    """

    anatomy: str
    name: str
    ct: Path
    masks: dict[str, Path]


def role_of(anatomy: str) -> Role:
    """What an anatomy is for, by its name alone, so that no later rendering changes sides.

    Of CAD-PE's annotated patients, `021` to `040` are of its published test set, and the further ones (`e0202`, ...)
    from `e0736` on are kept for tests as well. An `e` behind a letter, as in `case021`, may be of the prefix or of the
    number: it is a test case if it is one by either. Of the others two in ten choose the threshold.

    Example:
        >>> role_of("cadpe_021"), role_of("cadpe_e0736"), role_of("cadpe_001")
        ('test', 'test', 'train')
    """
    found = re.search(r"(e?)(\d+)$", anatomy)
    if found:
        number, further = int(found[2]), re.search(r"(?<![a-z])e\d+$", anatomy)
        if (found[1] and number >= 736) or (not further and f"{number:03d}" in CAD_PE_TEST):
            return "test"
    share = hashlib.sha256(anatomy.encode()).digest()[0] % 10
    return "held-out" if share < HELD_OUT_OF_TEN else "train"


def find_rendered(folders: Sequence[Path]) -> list[RenderedCase]:
    """The rendered scans in some folders, but for those of test anatomies.

    Args:
        folders: Each holds `<case>/ct`, `emboli`, `artery`, `vein` and `lung`, as `.nii.gz` or `.nrrd`.

    Raises:
        InputError: PE-IN-001 if there is no whole case.
    """
    found = []
    for number, folder in enumerate(folders):
        for case in sorted(path for path in folder.glob("*") if path.is_dir()):
            ct, masks = _file(case, "ct"), {name: path for name in MASKS if (path := _file(case, name))}
            if ct is not None and len(masks) == len(MASKS) and role_of(case.name) != "test":
                found.append(RenderedCase(case.name, f"{case.name}_r{number}", ct, masks))
    if not found:
        raise InputError(
            "PE-IN-001",
            f"no rendered scan of a training anatomy in {', '.join(map(str, folders))}",
            "name folders with <case>/ct.nii.gz, emboli, artery, vein and lung",
        )
    return found


def _file(case: Path, name: str) -> Path | None:
    return next((path for ending in ENDINGS if (path := case / f"{name}{ending}").is_file()), None)
