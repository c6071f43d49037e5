"""JSON from elsewhere: its reader gets plain values of the kinds that it expects, or one error, whatever lies there."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

# What reading and using values of another layout raises; one tuple, so that no reader forgets one of them.
MALFORMED = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
MOST_BYTES = 256 << 20
MOST_DEEP = 100


def read_json(path: Path, *, finite: bool = True) -> Any:
    """The content of a JSON file, without what no file of ours has and few readers expect.

    Args:
        path: The file, in UTF-8.
        finite: Refuse NaN and infinite numbers.

    Returns:
        Values whose text can be shown, encoded and used as a name.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no such JSON: over 256 MiB, not UTF-8, nested more than 100 deep, NaN or infinite numbers,
            whole numbers of thousands of digits, NUL or halves of surrogate pairs in text.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")  # a pipe under this name would be waited for
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        content = json.loads(raw.decode("utf-8"), **(_FINITE if finite else {}))
    except RecursionError:
        raise ValueError(f"it is nested more than {MOST_DEEP} deep") from None
    _check(content, MOST_DEEP, b"\\u" in raw)
    return content


def read_object(path: Path) -> dict[str, Any]:
    """`read_json`, of an object.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no JSON as `read_json` wants it, or something else than an object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"it is {_named(content)}, expected an object")  # noqa: TRY004 - of the file, not of an argument
    return content


def why(error: BaseException) -> str:
    """What `MALFORMED` means, in a few words for a message."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, (IndexError, AttributeError, TypeError)):
        return f"its values are of other kinds than expected ({error})"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error)[:300] or type(error).__name__


def require_types(record: Any) -> None:
    """Check that the fields of a data class hold what their annotations say, numbers finite.

    Raises:
        TypeError: For the first that does not.
    """
    hints = get_type_hints(type(record))
    for item in fields(record):
        value = getattr(record, item.name)
        if not _fits(value, hints[item.name]):
            raise TypeError(f"{item.name} is {_named(value)}")


def _fits(value: Any, hint: Any) -> bool:
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if kind in {Union, types.UnionType}:
        return any(_fits(value, part) for part in parts)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, kind):
        inner = get_type_hints(kind)
        return all(_fits(getattr(value, item.name), inner[item.name]) for item in fields(kind))
    if not isinstance(kind, type):  # such as a Literal
        return value in parts
    if not isinstance(value, kind):
        return False
    if isinstance(value, Mapping):
        return all(_fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items()) if parts else True
    if isinstance(value, tuple) and parts:
        if parts[-1] is ...:
            return all(_fits(part, parts[0]) for part in value)
        return len(value) == len(parts) and all(map(_fits, value, parts))
    return True


def _check(content: Any, depth: int, escapes: bool) -> None:
    if isinstance(content, (dict, list)):
        if not depth:
            raise ValueError(f"it is nested more than {MOST_DEEP} deep")
        parts = [*content, *content.values()] if isinstance(content, dict) else content
        for part in parts:
            _check(part, depth - 1, escapes)
    elif escapes and isinstance(content, str) and ("\0" in content or any("\ud800" <= c <= "\udfff" for c in content)):
        raise ValueError(f"it holds text that is none: {content[:40]!a}")


def _named(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


def _refuse(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"it holds {text[:40]}, which is too large")
    return number


_FINITE: dict[str, Any] = {"parse_constant": _refuse, "parse_float": _finite}
