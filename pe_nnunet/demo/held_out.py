"""Scans apart from their truth, and cases to train on apart from cases to predict, by links."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.errors import InputError


def split_studies(studies: Path, held_out: Sequence[str], out: Path) -> None:
    """Link the cases of a folder into `out/train` and `out/test`.

    Args:
        studies: One folder a case, with `ct` and `emboli`.
        held_out: Cases to test on; the last fifth in order of name if empty.
        out: Where the links go.

    Raises:
        InputError: PE-IN-002 if a case is not there, PE-IN-001 if there are fewer than six.
    """
    cases = sorted(path.name for path in studies.glob("*") if path.is_dir()) if studies.is_dir() else []
    unknown = sorted(set(held_out) - set(cases))
    if unknown:
        raise InputError("PE-IN-002", f"no case {unknown[0]} in {studies}", f"there: {', '.join(cases) or 'none'}")
    test = set(held_out) or set(cases[-max(1, len(cases) // 5) :])
    if len(cases) - len(test) < 5:
        raise InputError(
            "PE-IN-001", f"{studies} leaves {len(cases) - len(test)} cases to train on, expected 5 or more"
        )
    for case in cases:
        link(studies / case, out / ("test" if case in test else "train") / case)


def link_scans(studies: Path, out: Path) -> None:
    """Link the scan of each case, without its truth, so that a folder of scans is what a user would have.

    Args:
        studies: One folder a case, with `ct`, `ct.nii.gz`, `ct.nrrd` or `ct.mha`.
        out: Gets one folder a case.
    """
    shutil.rmtree(out, ignore_errors=True)
    for scan in sorted(studies.glob("*/ct*")):
        link(scan, out / scan.parent.name / scan.name)


def link(source: Path, target: Path) -> None:
    """A symbolic link, or a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        return
    try:
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
