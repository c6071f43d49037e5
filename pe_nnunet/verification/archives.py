"""A model archive, as `pe-nnunet install-model` would check it; nothing is installed."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pe_nnunet.cases import CaseLimits
from pe_nnunet.errors import PEError
from pe_nnunet.verification.findings import Checked, Finding

KIND = "a model archive"


def is_kind(path: Path) -> bool:
    """Whether this is a zip file, or is called one."""
    return path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path))


def check(path: Path, limits: CaseLimits | None) -> Checked:  # noqa: ARG001 - as the other kinds
    """Compare hashes, and read plans, checkpoints and detectors, in a temporary folder."""
    from pe_nnunet.inference.archive_install import check_archive

    try:
        files, notes = check_archive(path)
    except PEError as error:
        return Checked(path, KIND, 1, [Finding.of(error)])
    return Checked(path, KIND, files, [Finding.of(note) for note in notes])
