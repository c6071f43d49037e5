"""Text from files and headers as it may be shown: control characters are escaped, and names can be hidden."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

HIDDEN = "..."
_WITHIN_WORDS = 3  # letters of a name that is hidden in longer words too
# C0, C1, surrogates (bytes of a file name that are no UTF-8) and what Unicode has for formatting: most are not ASCII.
_SUSPECT = re.compile(r"[^\n\x20-\x7e]")
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def shown(text: str) -> str:
    r"""One line in which white space is a space, and control and format characters are escaped.

    Source: Unicode Technical Report 36, 3.1 (bidirectional overrides); ECMA-48, 5.3 (control sequences).

    Example:
        >>> shown("a\tb\x1b[31m\u202ec")
        'a b\\x1b[31m\\u202ec'
    """
    return shown_lines(" ".join(text.split()))


def shown_lines(text: str) -> str:
    """As `shown`, with the line feeds and tabs left as they are."""
    return _SUSPECT.sub(_escaped, text)


def escaped_for_json(text: str) -> str:
    """JSON with the escapes that JSON has for control and format characters within its strings; it means the same."""
    return _SUSPECT.sub(lambda found: _escaped(found, json=True), text)


def without(text: str, names: Iterable[str]) -> str:
    """A text in which names are hidden, the longest first; those of one or two letters where they stand alone.

    Example:
        >>> without("src/Doe_Jane/ct is empty, and a/b", ["Doe_Jane", "a"])
        'src/.../ct is empty, and .../b'
    """
    for name in sorted(names, key=len, reverse=True):
        for form in {name, shown(name)} - {""}:
            whole = rf"(?<!\w){re.escape(form)}(?!\w)" if len(form) < _WITHIN_WORDS else re.escape(form)
            text = re.sub(whole, lambda _: HIDDEN, text)
    return text


def is_utf8(name: str) -> bool:
    r"""Whether a file name is text, and not bytes in another encoding.

    Example:
        >>> is_utf8("M\xfcller"), is_utf8("M\udcfcller")
        (True, False)
    """
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _escaped(found: re.Match[str], *, json: bool = False) -> str:
    character = found[0]
    if character == "\t" or not _is_control(character):
        return character
    if not json:
        return character.encode("unicode_escape").decode("ascii")
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


@lru_cache(maxsize=4096)
def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CATEGORIES
