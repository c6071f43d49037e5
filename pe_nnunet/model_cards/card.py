"""A model card as a file: Hugging Face's metadata, our facts and a hash of the whole on top, the text below.

The card is made of its facts alone, and its facts of the model's files, so both can be compared again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pe_nnunet import __version__
from pe_nnunet.errors import InputError
from pe_nnunet.files.json_reader import MALFORMED, why
from pe_nnunet.inference.model_card import KEY, MOST_BYTES
from pe_nnunet.model_cards.hub import metadata
from pe_nnunet.model_cards.text import body

FORMAT = 1
_FENCE = "---\n"
_DIGEST = re.compile(r"^( +card_sha256: )([0-9a-f]{64})$", re.MULTILINE)
_NONE = "0" * 64
_MOST_DEEP = 30
_SECTIONS = ("model", "stated", "network", "plans", "folds", "recipes", "sha256", "calibration", "evaluations")


def card_text(facts: Mapping[str, Any]) -> str:
    """The card of a model.

    Args:
        facts: With the sections of `read_card`.
    """
    own = {
        "format": FORMAT,
        "written_by": f"pe-nnunet {__version__}",
        "card_sha256": _NONE,
        **{name: facts[name] for name in _SECTIONS},
    }
    head = yaml.dump({**metadata(facts), KEY: own}, Dumper=_Plain, sort_keys=False, width=10**6)
    text = f"{_FENCE}{head}{_FENCE}\n{body(facts)}"
    return text.replace(f"card_sha256: '{_NONE}'", f"card_sha256: {_digest(text)}", 1)


def read_card(path: Path) -> tuple[dict[str, Any], str]:
    """The facts of a card, and its text.

    Args:
        path: A card that `is_card` knows.

    Raises:
        InputError: PE-VER-012 if it cannot be read.
    """
    try:
        text = _text(path)
        head = _head(text)
        own = head[KEY]
        if own["format"] != FORMAT:
            raise ValueError(f"it has format {own['format']}, expected {FORMAT}")
        facts = {name: own[name] for name in _SECTIONS}
        facts["written_by"] = str(own["written_by"])
        body(facts)  # so that whoever uses them finds what they need
        metadata(facts)
    except (*MALFORMED, yaml.YAMLError) as error:
        reason = (
            f"its metadata are no YAML ({error.problem})" if isinstance(error, yaml.MarkedYAMLError) else why(error)
        )
        raise InputError("PE-VER-012", f"{path} cannot be read as a model card: {reason}", "get it anew") from error
    return facts, text


def altered(text: str, facts: Mapping[str, Any]) -> str | None:
    """What of a card is not as it was written, in words; None if nothing is.

    Args:
        text: Of the card, from `read_card`.
        facts: Likewise.
    """
    found = _DIGEST.search(text)
    if found is not None and _digest(text[: found.start(2)] + _NONE + text[found.end(2) :]) == found[2]:
        return None
    expected = card_text(facts)
    if facts["written_by"] == f"pe-nnunet {__version__}" and found is not None:
        now = _DIGEST.sub("", text).splitlines()
        before = _DIGEST.sub("", expected).splitlines()
        for number, (one, other) in enumerate(zip([*now, ""], [*before, ""], strict=False), 1):
            if one != other:
                return f"line {number} is {one[:120]!r}, and its facts give {other[:120]!r}"
        return "the facts in its metadata are others"
    return "its text is not that of its hash"


def _digest(text: str) -> str:
    return hashlib.sha256(text.replace(f"'{_NONE}'", _NONE, 1).encode()).hexdigest()


def _text(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 10} KiB")
    return path.read_bytes().decode("utf-8").replace("\r\n", "\n")


def _head(text: str) -> dict[str, Any]:
    end = text.find(f"\n{_FENCE}", len(_FENCE))
    if not text.startswith(_FENCE) or end < 0:
        raise ValueError(f"it has no metadata between lines of {_FENCE.strip()}")
    head = text[len(_FENCE) : end + 1]
    depth = 0
    for event in yaml.parse(head, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):  # a few lines of them stand for more values than memory holds
            raise ValueError("its metadata refer to one another")  # noqa: TRY004 - of the file, not of an argument
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEEP:  # for which the parser takes more time than a reader has
            raise ValueError(f"its metadata are nested more than {_MOST_DEEP} deep")
    content = yaml.safe_load(head)
    if not isinstance(content, dict):
        raise ValueError("its metadata are no table")  # noqa: TRY004 - likewise
    return content


class _Plain(yaml.SafeDumper):  # type: ignore[misc]  # yaml publishes no types
    """Without references from one value to another."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's signature
        return True
