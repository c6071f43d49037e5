"""A model archive, as `pe-nnunet install-model` would check it; nothing is installed."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from pe_nnunet.cases import CaseLimits
from pe_nnunet.errors import PEError
from pe_nnunet.verification.cards import card_findings
from pe_nnunet.verification.findings import Checked, Finding

KIND = "a model archive"


def is_kind(path: Path) -> bool:
    """Whether this is a zip file, or is called one."""
    return path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path))


def check(path: Path, limits: CaseLimits | None) -> Checked:  # noqa: ARG001 - as the other kinds
    """Compare hashes, and read plans, checkpoints, detectors and model cards, in a temporary folder."""
    from pe_nnunet.inference.archive_install import check_archive

    of_cards = list[Finding]()

    def look(folder: Path) -> None:
        _, found = card_findings(folder, None)
        aside = f"{folder.parents[1]}/"
        of_cards.extend(replace(one, message=one.message.replace(aside, f"{path}: ")) for one in found)

    try:
        files, notes = check_archive(path, look)
    except PEError as error:
        return Checked(path, KIND, 1, [Finding.of(error)])
    return Checked(path, KIND, files, [*(Finding.of(note) for note in notes), *of_cards])
