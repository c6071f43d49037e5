"""Spellings of a word: without accents, umlauts as two letters, Cyrillic and Greek in Latin letters."""
# ruff: noqa: RUF001 - letters that look like Latin ones are what this is about

from __future__ import annotations

import re
import unicodedata

_LATIN = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i",
                        "ə": "e", "ħ": "h"})  # fmt: skip
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
# Cyrillic as passports have it (ICAO Doc 9303, part 3, section 6), and as it is often written otherwise.
_CYRILLIC = dict(zip("абвгдезиклмнопрстуфыэіѓќјѕ", "abvgdeziklmnoprstufyeigkjz", strict=True)) | {
    "ё": "e", "ж": "zh", "й": "i", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "ie", "ь": "",
    "ю": "iu", "я": "ia", "є": "ie", "ї": "i", "ґ": "g", "ў": "u", "ђ": "dj", "ћ": "c", "љ": "lj", "њ": "nj",
    "џ": "dz",
}  # fmt: skip
_PASSPORT = str.maketrans(_CYRILLIC)
_ENGLISH = str.maketrans(_CYRILLIC | {"ё": "yo", "й": "y", "ъ": "", "ю": "yu", "я": "ya", "є": "ye", "ї": "yi"})
_CENTRAL = str.maketrans(_CYRILLIC | {"ё": "jo", "ж": "z", "й": "j", "х": "h", "ц": "c", "ч": "c", "ш": "s",
                                      "щ": "sch", "ъ": "", "ю": "ju", "я": "ja", "э": "e"})  # fmt: skip
_GERMAN_CYRILLIC = str.maketrans(_CYRILLIC | {"в": "w", "ж": "sch", "й": "j", "х": "ch", "ц": "z", "ч": "tsch",
                                              "ш": "sch", "щ": "schtsch", "ъ": "", "ю": "ju", "я": "ja"})  # fmt: skip
_YJ = re.compile(r"[иы]й(?![^\W\d_])", re.IGNORECASE)

# Greek as passports have it (ISO 843, type 2), in the way of scholars, and as it is pronounced.
_GREEK = dict(zip("αβγδεζηικλμνξοπρσςτυφω", "avgdeziiklmnxoprsstyfo", strict=True)) | {"θ": "th", "χ": "ch", "ψ": "ps"}
_GREEKS = tuple(
    str.maketrans(_GREEK | other)
    for other in ({}, {"β": "b", "η": "e", "φ": "ph"}, {"υ": "i", "χ": "h"}, {"υ": "i", "χ": "kh", "ξ": "ks"})
)
_GREEK_PAIRS = (
    (("ου", "ou"), ("αυ", "av"), ("ευ", "ev"), ("γγ", "ng"), ("μπ", "b"), ("ντ", "nt")),
    (("ου", "ou"), ("αυ", "af"), ("ευ", "ef"), ("γγ", "ng"), ("μπ", "mp"), ("ντ", "d"), ("γκ", "g")),
    (("ου", "u"), ("αυ", "au"), ("ευ", "eu"), ("γγ", "gg"), ("μπ", "mp"), ("ντ", "nt")),
)


def spellings(text: str) -> set[str]:
    """A text without marks, ä as a and as ae, Cyrillic and Greek also in Latin letters; upper case is kept.

    Example:
        >>> sorted(spellings("Müller")), "Ivanov" in spellings("Иванов")
        (['Mueller', 'Muller'], True)
    """
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text))
    found = {plain(composed), plain(_translated(composed, _GERMAN))}
    if any("\u0400" <= letter <= "\u052f" for letter in composed):
        tables = (_PASSPORT, _ENGLISH, _CENTRAL, _GERMAN_CYRILLIC)
        endings = {composed, *(_YJ.sub(end, composed) for end in "йи")}  # Юрий is Yurii, Yury and Yuri
        latin = {plain(_translated(word, table)) for word in endings for table in tables}
        found |= latin | {word.replace("ks", "x") for word in latin}
    if any("\u0370" <= letter <= "\u03ff" for letter in composed):
        bare = plain(composed)
        found |= {_translated(_paired(bare, pairs), table) for pairs in _GREEK_PAIRS for table in _GREEKS}
    return found


def _paired(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """Two letters that are one sound by their Latin ones; upper case stays upper case."""
    for pair, latin in pairs:
        for case in (str.lower, str.capitalize, str.upper):
            text = text.replace(case(pair), case(latin))
    return text


def _translated(text: str, table: dict[int, str]) -> str:
    """By a table of lower-case letters; upper case stays upper case."""
    return "".join(
        letter.lower().translate(table).capitalize() if letter.isupper() else letter.translate(table) for letter in text
    )


def plain(text: str) -> str:
    """A text without marks and ligatures; syllables of Hangul stay whole."""
    marks_off = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.category(c).startswith("M"))
    return unicodedata.normalize("NFC", _translated(marks_off, _LATIN))
