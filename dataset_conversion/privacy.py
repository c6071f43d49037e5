"""Patients' names are kept out of a dataset: case ids that hold one are refused, or hashed where that is asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pydicom

from pe_nnunet.cases import CaseFailure
from pe_nnunet.dataset_conversion.patterns import CASE
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing
from pe_nnunet.errors import InputError, Note
from pe_nnunet.files import text_sha256
from pe_nnunet.volumes.dicom.headers import quiet_pydicom
from pe_nnunet.volumes.find import GENERIC_NAMES, clean

HIDDEN = "..."
_MIN_LETTERS = 3  # letters of a name that are looked for
_NO_NAMES = frozenset({"anon", "anonym", "anonymous", "anonymised", "anonymized", "case", "name", "none", "patient",
                       "phantom", "pseudonym", "removed", "subject", "test", "unknown"})  # fmt: skip


def hashed(case_id: str) -> str:
    """A case id that says nothing, the same for the same name.

    Example:
        >>> hashed("Doe_Jane")
        'case_05490c79f2'
    """
    return f"case_{text_sha256(case_id)[:10]}"


def with_hashed_names(src: Path, listing: Listing) -> Listing:
    """A listing with hashes for case ids and sources, which says no name of a folder or file below the source."""
    names = _names_below(src)
    cases = tuple(
        replace(
            case,
            case_id=hashed(case.case_id),
            image=replace(case.image, case_id=hashed(case.case_id)),
            name=hashed(case.case_id),
            hidden=tuple(sorted({case.case_id, *_names_of(case)} | names, key=len, reverse=True)),
        )
        for case in listing.cases
    )
    errors = tuple(
        replace(error, case_id=hashed(error.case_id), message=without(error.message, {error.case_id, *names}))
        for error in listing.errors
    )
    return replace(listing, cases=cases, errors=errors)


def without(text: str, names: Iterable[str]) -> str:
    """A text in which names are hidden, the longest first."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, HIDDEN)
    return text


def without_names(notes: Iterable[Note], names: Iterable[str]) -> tuple[Note, ...]:
    """Notes in which names are hidden."""
    return tuple(Note(note.code, note.kind, without(note.message, names)) for note in notes)


def hide(failure: CaseFailure, source: CaseSource) -> CaseFailure:
    """A failure that says none of the names that its case hides, nor a case id that is refused for one."""
    case_id = hashed(failure.case_id) if failure.code == "PE-CONV-034" else failure.case_id
    return replace(failure, case_id=case_id, message=without(failure.message, source.hidden))


def require_nameless(source: CaseSource) -> None:
    """Check that the case id holds no part of the DICOM header's PatientName.

    A part with digits in it, or a word like `anonymous`, is taken for a pseudonym.

    Raises:
        InputError: PE-CONV-034 if it does; the name is not said.
    """
    if source.image.kind != "dicom" or source.hidden:
        return
    words = {word.lower() for word in re.findall(r"[A-Za-z0-9]+", source.case_id)}
    if words & (_name_parts(source.image.files[0]) - _NO_NAMES):
        raise InputError(
            "PE-CONV-034",
            "the name of its folder or file holds a part of the patient's name, as its DICOM headers have it",
            "rename it, or give --hash-names; with --dry-run that lists which case is which",
        )


def _name_parts(file: Path) -> set[str]:
    with quiet_pydicom():
        try:
            header = pydicom.dcmread(file, specific_tags=["PatientName"], stop_before_pixels=True, force=True)
            name = str(header.get("PatientName", ""))
        except Exception:  # noqa: BLE001 - what is no DICOM is said when the case is read
            return set()
    parts = {clean(part).lower() for part in re.split(r"[\^=\s]+", name) if part}
    return {part for part in parts if len(part) >= _MIN_LETTERS and part.isalpha()}


def _names_of(case: CaseSource) -> set[str]:
    paths = [path for path in (case.image.path, case.label, case.artery) if path is not None]
    return {str(path) for path in paths} | {path.name for path in paths if _tells(path.name)}


def _names_below(src: Path) -> frozenset[str]:
    """Names of folders and of files, without their endings, below the source, and where it lies."""
    root = Path(str(src).split(CASE)[0]).parent if CASE in str(src) else src
    names = {str(root)}
    for _, folders, files in os.walk(root):
        names |= {name for name in folders if _tells(name)}
        names |= {name.split(".")[0] for name in files if not name.lower().endswith(".dcm") and _tells(name)}
    return frozenset(names)


def _tells(name: str) -> bool:
    """Whether a name could be a patient's: not one of the words that layouts are made of."""
    stem = name.split(".")[0].lower()
    return len(stem) >= _MIN_LETTERS and stem not in GENERIC_NAMES | {"artery", "emboli", "label", "labels", "mask"}
