"""How DICOM headers call a patient, and when the patient was born: to keep it out of results, and for nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import disable_value_validation
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from pe_nnunet.volumes.dicom.headers import quiet_pydicom

_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson")
_DATES = ("PatientBirthDate", "PatientBirthDateInAlternativeCalendar")
_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in ("SpecificCharacterSet", *_NAMES, *_DATES)]
_AFTER_PATIENT = 0x00110000  # elements are sorted: group 0010 is the patient's
# How names are read whose bytes are not in the character set that the header says, or that says none.
_OTHER_SETS = ("utf-8", "cp1252", "cp1251", "iso8859-5", "gb18030", "shift_jis", "euc-kr")


def patients_of(files: Iterable[Path]) -> tuple[frozenset[str], frozenset[str]]:
    """What the headers of files say of their patients.

    Args:
        files: DICOM files; what is none, or cannot be read, says nothing.

    Returns:
        Names, one for each component group of a PN (alphabetic, ideographic, phonetic) with `^` between their parts;
        and dates of birth, eight digits each: year, month, day.

    Source: DICOM PS3.5, 6.2.1.1 (PN) and 6.1.2 (character sets).
    """
    names: set[str] = set()
    dates: set[str] = set()
    with quiet_pydicom(), disable_value_validation():
        for path in files:
            header = _patient_of(path)
            if header is None:
                continue
            names |= {group for keyword in _NAMES for text in _texts(header, keyword) for group in text.split("=")}
            for keyword in _DATES:
                digits = (re.sub(r"\D", "", text) for text in _texts(header, keyword))
                dates |= {date for date in digits if len(date) == 8}
    return frozenset(filter(None, names)), frozenset(dates)


def decoded(raw: bytes) -> set[str]:
    """Bytes as text in every character set in which they can be read."""
    found = set()
    for encoding in _OTHER_SETS:
        try:
            found.add(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    return found


def _patient_of(path: Path) -> pydicom.Dataset | None:
    """The elements of a file before its image and acquisition are described."""
    try:
        with path.open("rb") as file:
            return read_partial(file, lambda tag, *_: int(tag) >= _AFTER_PATIENT, force=True, specific_tags=_TAGS)
    except Exception:  # noqa: BLE001 - what is no DICOM is said when the scan is read
        return None


def _texts(header: pydicom.Dataset, keyword: str) -> Iterator[str]:
    try:
        value = header.get(keyword)
    except Exception:  # noqa: BLE001 - elements are decoded on access, and a damaged one fails in any way
        return
    if value is None:
        return
    for single in value if isinstance(value, pydicom.multival.MultiValue | list) else [value]:
        yield str(single)
        raw: Any = getattr(single, "original_string", b"")
        if isinstance(raw, bytes) and not raw.isascii():
            yield from decoded(raw)
