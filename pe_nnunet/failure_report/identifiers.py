"""What tells who a case is of, collected from headers and names of files, and hidden wherever else it stands."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pe_nnunet.errors import CODES
from pe_nnunet.errors.shown import HIDDEN, shown
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.find import GENERIC_NAMES
from pe_nnunet.volumes.patient_names import tells_patient

_SHORTEST = 4
_SHORTEST_NAME = 3  # of a part of a name, in Latin letters
_KEPT_ENDINGS = frozenset({".json", ".py", ".log", ".csv", ".pth", ".zip", ".yaml", ".onnx", ".pt", ".so"})
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[^\s'\"`()=,;:\[\]{}<>|]*[\\/])+([^\s'\"`()=,;:\[\]{}<>|\\/]*)")
_QUOTED_PATH = re.compile(r"(['\"`])([^'\"`\n]*[\\/][^'\"`\n]*)\1")
_OUR_WORDS = frozenset(re.findall(r"\w+", " ".join(CODES.values()).lower())) | GENERIC_NAMES
_HASHED = re.compile(r"(case|name)_[0-9a-f]{10}")
_UID = re.compile(r"(?<![\w.])\d+(?:\.\d+){5,}(?![\w.]*\w)")


@dataclass
class Identifiers:
    """What tells who a case is of.

    Attributes:
        values: Texts of headers, in lower case: ids, dates, comments, parts of names.
        names: Of patients, with `^` between their parts, as `tells_patient` takes them.
        birth_dates: Eight digits each.
        cases: Names of cases and of their files and folders -> what they are called in the bundle.
    """

    values: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    birth_dates: set[str] = field(default_factory=set)
    cases: dict[str, str] = field(default_factory=dict)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    _told: dict[str, bool] = field(default_factory=dict, repr=False)  # once names are known, which come first

    def hashed(self, name: str, kind: str = "case") -> str:
        """What a name is called in this bundle: another hash in each, so that nobody can try names against it."""
        return f"{kind}_{blake2b(name.encode('utf-8', 'surrogatepass'), key=self._key, digest_size=5).hexdigest()}"

    def add_value(self, text: str) -> None:
        """Add what stands in a header, as a whole; and a date as people write it."""
        value = " ".join(text.split()).lower()
        if len(value) >= _SHORTEST and value not in _OUR_WORDS:
            self.values.add(value)
        date = re.fullmatch(r"((?:19|20)\d\d)(\d\d)(\d\d)", value)
        if date is not None:
            year, month, day = date.groups()
            self.values |= {f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{day}/{month}/{year}"}

    def add_name(self, name: str) -> None:
        """Add a person's name, whose parts tell as well."""
        self.names.add(name)
        for part in re.findall(r"[^\W\d_]+", name.lower()):
            if len(part) >= (_SHORTEST_NAME if part.isascii() else 2):
                self.values.add(part)

    def add_case(self, *names: str) -> None:
        """Add names of a case, of its files or folders; words that all cases are called by tell nothing."""
        for name in names:
            if len(name) >= _SHORTEST_NAME and name.lower() not in _OUR_WORDS:
                self.cases.setdefault(name, self.hashed(name))

    def among(self, values: Iterable[str]) -> bool:
        """Whether one of some texts holds any of it, as a whole word."""
        return any(self._in(" ".join(value.split()).lower()) or self._tells(value) for value in values)

    def in_bytes(self, content: bytes) -> bool:
        """Whether bytes hold a text of a header: six letters or eight digits of it, as fewer come about by chance."""
        content = content.lower()
        long = (value for value in self.values if len(value) >= (8 if re.fullmatch(r"[\d.\s]+", value) else 6))
        return any(value.encode(encoding, "ignore") in content for value in long for encoding in ("utf-8", "utf-16-le"))

    def hide(self, text: str) -> str:
        """A text with names of cases hashed, values hidden, and paths cut to their last part."""
        text = shown(text)
        for name in sorted(self.cases, key=len, reverse=True):
            text = re.sub(_whole(name), self.cases[name], text, flags=re.IGNORECASE)
        for value in sorted(self.values, key=len, reverse=True):
            text = re.sub(_whole(value), HIDDEN, text, flags=re.IGNORECASE)
        text = _UID.sub("<UID>", text)
        text = _QUOTED_PATH.sub(lambda found: f"{found[1]}{self.last_part(found[2])}{found[1]}", text)
        text = _PATH.sub(lambda found: self.last_part(found[0]), text)
        return " ".join(HIDDEN if self._tells(word) else word for word in text.split(" "))

    def last_part(self, path: str) -> str:
        """The last part of a path: of tables, weights and models as it is, else hashed, with its ending."""
        name = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
        known = name.lower() in _OUR_WORDS or "__" in name or Path(name).suffix.lower() in _KEPT_ENDINGS
        if known or _HASHED.fullmatch(name.split(".")[0]) or not name:
            return name
        ending = image_suffix(Path(name)) or ("".join(re.findall(r"\.[A-Za-z0-9]{1,5}$", name)))
        return self.hashed(name[: len(name) - len(ending)], "name") + ending

    def hidden(self, content: Any) -> Any:
        """The same of all text in JSON's types, keys too."""
        if isinstance(content, str):
            return self.hide(content)
        if isinstance(content, dict):
            return {self.hide(str(key)): self.hidden(value) for key, value in content.items()}
        if isinstance(content, list | tuple):
            return [self.hidden(value) for value in content]
        return content

    def _in(self, text: str) -> bool:
        return any(value in text and re.search(_whole(value), text) for value in self.values)

    def _tells(self, word: str) -> bool:
        if word not in self._told:
            known = bool(self.names or self.birth_dates)
            self._told[word] = known and tells_patient([word], self.names, self.birth_dates)
        return self._told[word]


def shape(value: Any, longest: int = 64) -> str:
    r"""What a value looks like: every letter an `a`, every digit a `9`, and what is neither as it is.

    Example:
        >>> shape(b"0.7x/0.75")
        '9.9a/9.99'
    """
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return shown(re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text[:longest])))


def _whole(value: str) -> str:
    return rf"(?<![^\W_]){re.escape(value)}(?![^\W_])"
