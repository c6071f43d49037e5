"""What cases are called in results: as their folders and files, unless that says a patient's name; or by hashes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pe_nnunet.errors import InputError, PEError
from pe_nnunet.errors.shown import without
from pe_nnunet.files import text_sha256
from pe_nnunet.volumes.dicom.patient_header import patients_of
from pe_nnunet.volumes.find import GENERIC_NAMES
from pe_nnunet.volumes.patient_names import MIN_LETTERS, tells_patient
from pe_nnunet.volumes.scan import ScanRef

CODE = "PE-CONV-034"
PLAIN, HASHED = "plain", "hashed"


def hashed(case_id: str) -> str:
    """A case id that says nothing, the same for the same name.

    Example:
        >>> hashed("Doe_Jane")
        'case_05490c79f2'
    """
    return f"case_{text_sha256(case_id)[:10]}"


def named_cases(refs: Sequence[ScanRef], root: Path, *, hash_names: bool) -> list[ScanRef]:
    """Scans under the names that their results get.

    Args:
        refs: As they were found.
        root: Where they were looked for.
        hash_names: Give all of them hashes. Else they keep their names, and one that says a patient's name, or date of
            birth, as its DICOM header has it, gets a hash too, and `read_scan` refuses it (PE-CONV-034).
    """
    below = names_below(root) if hash_names else frozenset()
    return [
        _with_hash(ref, root, below, refused=not hash_names) if hash_names or says_patient(ref, root) else ref
        for ref in refs
    ]


def says_patient(ref: ScanRef, root: Path, others: Iterable[Path | str] = ()) -> bool:
    """Whether the name of a scan, or of a file that goes with it, says whose it is, as far as its header tells.

    Args:
        ref: A scan; volume files have no header, and say nothing.
        root: Where it was looked for: the names above are not the case's.
        others: Masks of the case, and what else it is called.
    """
    if ref.kind != "dicom":
        return False
    names, birth_dates = patients_of(ref.files)
    written = {ref.case_id, *_parts(ref.path, root)}
    written |= {part for other in others for part in (_parts(other, root) if isinstance(other, Path) else [other])}
    written |= {ref.files[0].name} if len(ref.files) == 1 else set()
    return tells_patient(written, names, birth_dates)


def refusal() -> InputError:
    """The error of a case whose name says a patient's; it does not say it."""
    return InputError(
        CODE,
        "the name of its folder or file holds a part of the patient's name, or the date of birth, as its DICOM headers "
        "have it",
        "rename it, or give --hash-names; the case is called by the hash of its name here",
    )


def names_below(root: Path) -> frozenset[str]:
    """Names of folders and of files, without their endings, below a folder or beside a file, and where it lies."""
    names = {str(root)}
    for _, folders, files in os.walk(root if root.is_dir() else root.parent):
        names |= {name for name in folders if _tells(name)}
        names |= {name.split(".")[0] for name in files if not name.lower().endswith(".dcm") and _tells(name)}
        names |= {stem for name in files if name.lower().endswith(".dcm") and _is_word(stem := name[:-4])}
    return frozenset(names)


@contextmanager
def names_hidden(root: Path, *, hide: bool) -> Iterator[None]:
    """Errors raised here say no name of a folder or file below a folder.

    Args:
        root: The folder.
        hide: Whether that was asked for.
    """
    try:
        yield
    except PEError as error:
        if not hide:
            raise
        names = names_below(root)
        raise type(error)(error.code, without(error.message, names), without(error.hint, names)) from None


def names_of_files(paths: Iterable[Path | None]) -> set[str]:
    """The paths and names of files as messages say them."""
    given = [path for path in paths if path is not None]
    return {str(path) for path in given} | {path.name for path in given if _tells(path.name)}


def _with_hash(ref: ScanRef, root: Path, below: frozenset[str], *, refused: bool) -> ScanRef:
    hidden = {ref.case_id, str(root), *below, *names_of_files((ref.path, *ref.files[:1])), *_parts(ref.path, root)}
    return replace(
        ref,
        case_id=hashed(ref.case_id),
        plain_id=ref.case_id,
        hidden=tuple(sorted(hidden, key=len, reverse=True)),
        refused=refused,
    )


def _parts(path: Path, root: Path) -> tuple[str, ...]:
    """The names of a path below where it was looked for; its own name where it is that place, or lies elsewhere."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        parts = ()
    return parts or (path.resolve().name,)


def _is_word(stem: str) -> bool:
    """Whether a file of a series is called by more than numbers and the usual two letters, as `IM0001` is."""
    return len([letter for letter in stem if letter.isalpha()]) >= MIN_LETTERS and _tells(stem)


def _tells(name: str) -> bool:
    """Whether a name could be a patient's: not one of the words that layouts are made of."""
    stem = name.split(".")[0].lower()
    return len(stem) >= MIN_LETTERS and stem not in GENERIC_NAMES | {"artery", "emboli", "label", "labels", "mask"}
