"""Whether a name of a folder or file holds a part of a patient's name, or the date of birth.

Names are compared in their own script and in Latin letters, in any order, joined or apart. What this cannot see stands
in docs/conversion.md.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from urllib.parse import unquote

from pe_nnunet.volumes.dicom.patient_header import decoded
from pe_nnunet.volumes.spellings import plain, spellings

MIN_LETTERS = 3  # of a part of a name that is looked for
_LONG = 5  # letters of a part that is looked for within longer words too
_NO_NAMES = frozenset({
    "anon", "anonym", "anonymous", "anonymised", "anonymized", "anonymize", "anonymise", "anonyme", "anonymisiert",
    "deidentified", "identified", "case", "cases", "name", "nameless", "none", "null", "patient", "patients", "pat",
    "phantom", "pseudonym", "pseudo", "removed", "subject", "subj", "study", "studies", "test", "unknown",
    "unnamed", "hidden", "redacted", "deleted", "default", "empty", "scan", "scans", "series", "image", "images",
    "dicom", "volume", "data", "dataset", "chest", "thorax", "lung", "lungs", "embolism", "embolus", "emboli",
    "positive", "negative", "control", "male", "female", "left", "right", "ctpa", "head", "first", "feet", "human",
    "person", "dummy", "demo", "sample", "example", "training", "train", "validation", "val", "label", "labels",
    "mask", "masks", "angio", "angiography", "contrast", "pulmonary", "artery", "arteries", "vein", "veins",
    "slice", "slices", "axial", "coronal", "adult", "abdomen", "research", "clinical", "trial", "hospital",
    "center", "centre", "site", "not", "available", "prof", "doctor", "med", "mrs", "miss", "mister", "herr",
    "frau", "sir", "madame", "von", "van", "den", "der", "del", "dos", "das", "los", "las", "bin", "ibn", "abu",
    "abd",
})  # fmt: skip
_WITHIN_WORDS = _NO_NAMES | {"ct", "cta", "dr", "mr", "ms", "de", "la", "le", "el", "al", "di", "da"}
_MONTHS = (("jan", "ene"), ("feb", "fev"), ("mar", "mrz", "mae"), ("apr", "avr", "abr"), ("may", "mai"),
           ("jun", "juin"), ("jul", "juil"), ("aug", "aou", "ago"), ("sep", "set"), ("oct", "okt", "out"), ("nov",),
           ("dec", "dez", "dic"))  # fmt: skip


def tells_patient(written: Iterable[str], names: Iterable[str], birth_dates: Iterable[str] = ()) -> bool:
    """Whether what is written holds a part of a patient's name, or the date of birth.

    A part of a name is a word of at least three letters (two of scripts that write syllables or words). Words with
    digits in them are taken for pseudonyms, and words such as `anonymous` for nothing.

    Args:
        written: Names of folders and files, as they are written.
        names: Of the patient, with `^` between their parts.
        birth_dates: Eight digits each: year, month, day.

    Example:
        >>> tells_patient(["ct_MuellerHans"], ["Müller^Hans"]), tells_patient(["anonymous_1"], ["Anonymous"])
        (True, False)
        >>> tells_patient(["24.12.1903"], [], ["19031224"]), tells_patient(["scan 7"], ["Li^Bo"])
        (True, False)
    """
    written = {text for name in written for text in _readings(name)}
    if any(_holds_date(text, date) for text in written for date in birth_dates):
        return True
    parts = [part for name in names for part in _parts(name)]
    pieces = {form for part in parts for form in _forms(part)}
    pieces |= {form for name in names for form in _whole(name)}
    looked_for = {piece for piece in pieces if len(piece) >= _least(piece) and piece not in _NO_NAMES}
    if not looked_for:
        return False
    initials = {form[0] for part in parts for form in _forms(part)}
    short = {piece for piece in pieces if len(piece) < MIN_LETTERS} | initials
    return any(
        _made_of(word, looked_for, short) for text in written for form in spellings(text) for word in _words(form)
    ) or any(_mangled(part, text) for part in parts for text in written)


def _readings(name: str) -> set[str]:
    """A name as it is, without the escapes of URLs, and its bytes read otherwise where they are no UTF-8."""
    found = {name, unquote(name)}
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        found |= decoded(os.fsencode(name))
    return found


def _parts(name: str) -> list[str]:
    """The words of a patient's name, pieces of compound ones too; not those with digits."""
    words = [word for word in re.split(r"[\^=\s,;]+", name) if word and not any(c.isdigit() for c in word)]
    return [*words, *(piece for word in words for piece in _letters(word))]


def _whole(name: str) -> set[str]:
    """Family and given name joined, where each is a sign or two."""
    if any(map(str.isdigit, name)):
        return set()
    forms = {"".join(_letters(plain(part))) for part in (name,)}
    return {form for form in forms if not form.isascii() and _least(form) < MIN_LETTERS}


def _forms(text: str) -> set[str]:
    """A word in lower case without marks: in its own script, and in Latin letters as they are usually put for it."""
    return {form for text in spellings(text) if (form := "".join(_letters(text.casefold())))}


def _letters(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text)


def _least(piece: str) -> int:
    """Letters of the least part that is looked for: fewer where a letter stands for a syllable or a word."""
    syllables = any("\u3040" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7a3" or c >= "\U00020000" for c in piece)
    return 2 if syllables else MIN_LETTERS


def _words(text: str) -> set[str]:
    """Runs of letters in lower case; apart where a capital follows, and joined over hyphens, apostrophes and spaces."""
    runs = _letters(text)
    camel = [piece for run in runs for piece in re.findall(r"[^\W\d_a-z]+(?![a-z])|[^\W\d_][a-z]*", run)]
    joined = [first + second for first, second in pairwise(runs)]
    joined += ["".join(_letters(piece)) for piece in re.split(r"[\d_]+", text)]
    return {word.casefold() for word in (*runs, *camel, *joined)}


def _made_of(word: str, names: set[str], short: set[str]) -> bool:
    """Whether a word is a name, holds a long one, or is nothing but names with initials and words that name nobody."""
    if word in names or any(name in word for name in names if len(name) >= _LONG or _least(name) < MIN_LETTERS):
        return True
    reached = {0: False}  # how far names reach from the start, and whether a looked-for one is among them
    for start in range(len(word)):
        if start not in reached:
            continue
        for piece in names | short | _WITHIN_WORDS:
            if word.startswith(piece, start):
                end = start + len(piece)
                reached[end] = reached.get(end, False) or reached[start] or piece in names
    return reached.get(len(word), False)


def _mangled(part: str, text: str) -> bool:
    """Whether a text holds a part of a name with other signs in the place of letters that are not ASCII."""
    pieces = re.split(r"[^\x00-\x7f]+", unicodedata.normalize("NFC", part))
    if len(pieces) < 2 or sum(map(len, pieces)) < MIN_LETTERS:
        return False
    expression = r"[\W_]{1,2}".join(map(re.escape, pieces))
    return re.search(rf"(?<![a-z]){expression}(?![a-z])", text, re.IGNORECASE) is not None


def _holds_date(text: str, date: str) -> bool:
    """Whether a text holds a date, its parts in any usual order, with or without signs between them."""
    year, month, day = int(date[:4]), int(date[4:6]), int(date[6:])
    text = unicodedata.normalize("NFKC", text)
    runs = re.findall(r"\d+", text)
    y4, y2, m, d = date[:4], date[2:4], date[4:6], date[6:]
    if any(order in run for run in runs for order in (y4 + m + d, d + m + y4, m + d + y4, y4 + d + m)):
        return True
    if any(run in {y2 + m + d, d + m + y2, m + d + y2} for run in runs):
        return True
    tokens = [_as_number(token) for token in re.findall(r"\d+|[^\W\d_]+", plain(text.casefold()))]
    orders = {(y, *rest) for y in (year, year % 100) for rest in ((month, day), (day, month))}
    orders |= {(*rest, y) for y in (year, year % 100) for rest in ((month, day), (day, month))}
    return any(tuple(tokens[i : i + 3]) in orders for i in range(len(tokens) - 2))


def _as_number(token: str) -> int:
    """A number, or that of a month's name; -1 for other words."""
    if token.isdigit():
        return int(token) if len(token) <= 4 else -1
    return next((n for n, starts in enumerate(_MONTHS, 1) if token.startswith(starts)), -1)
