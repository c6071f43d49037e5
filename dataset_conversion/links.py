"""Links in a source that lead nowhere: a scan behind one would be missing from the dataset without a word."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.dataset_conversion.lookup import CASE
from pe_nnunet.dataset_conversion.sources import Listing
from pe_nnunet.volumes.find import clean


def with_broken_links(src: Path, listing: Listing) -> Listing:
    """A listing with an error for each broken link below the source, hidden ones apart.

    Args:
        src: The source folder; below a pattern with `{case}` nothing is looked for, as what it matches is read.
        listing: Its cases.
    """
    if CASE in str(src) or not src.is_dir():
        return listing
    named = {error.case_id for error in listing.errors}
    found = [
        CaseFailure(
            clean("_".join(link.relative_to(src).parts)),
            "PE-CONV-033",
            f"{link.relative_to(src)} is a link to {link.readlink()}, which is not there",
            "restore what it leads to, or remove it",
        )
        for link in _broken(src)
    ]
    return replace(listing, errors=(*listing.errors, *(error for error in found if error.case_id not in named)))


def _broken(src: Path) -> list[Path]:
    found = []
    for name, folders, files in os.walk(src):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        paths = [Path(name, entry) for entry in (*folders, *files) if not entry.startswith(".")]
        found += [path for path in paths if path.is_symlink() and not path.exists()]
    return sorted(found)
