"""Changes of JSON: other kinds of values, keys that are missing or new, and text that few parsers expect."""

from __future__ import annotations

import copy
import json
from typing import Any

from fuzz.mutate_bytes import change_bytes
from fuzz.sample import Files, Mutated, Rng, pick

RAW = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, '"\\ud800"', '"\\u0000"', '"\\u001b[2J"', "null",
    "[" * 50 + "]" * 50, "[" * 2000 + "]" * 2000, '{"a":' * 300 + "1" + "}" * 300, "-0", "1e-400",
    '"' + "x" * 9000 + '"', '"../../etc/passwd"', '"subprocess.Popen"', '"torch.nn.Linear"', '"=1+1"', '"os.system"',
    "true", "false", "{}", "[]", '""', "0", "-1", "1", "2", "3", "0.5", "1.5", "1e6", "2147483648",
    "18446744073709551616", '"1"', '"é"', "[0]", "[[]]", "[null]", '[1, "a"]', '{"": 0}',
)  # fmt: skip


def change_json(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """One change of JSON text."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return change_bytes(rng, content)
    kind = rng.random()
    if kind < 0.12:
        return change_bytes(rng, content)
    if kind < 0.16:
        start = pick(rng, (b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"//a\n", b"\x00"))
        return start + content, f"begins with {start!r}"
    places = list(_places(values))
    if not places:
        return pick(rng, RAW).encode(), "another value"
    holder, key = pick(rng, places)
    what = f"{str(key)[:40]!r}"
    if kind < 0.32:
        del holder[key]
        return _text(values), f"without {what}"
    if kind < 0.4:
        other_holder, other_key = pick(rng, places)
        holder[key] = copy.deepcopy(other_holder[other_key])
        return _text(values), f"{what} gets the value of {str(other_key)[:40]!r}"
    if kind < 0.46 and isinstance(holder, dict):
        new = pick(rng, ("", "x", "0", "__class__", "\u202e", "a" * 300))
        holder[new] = holder.pop(key)
        return _text(values), f"{what} is called {new[:20]!r}"
    if kind < 0.52 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
        return _text(values), f"{what} once more"
    if kind < 0.6 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
        holder[key] = -holder[key] if rng.random() < 0.5 else holder[key] * pick(rng, (0.1, 10, 1e6, 1e300, 1e-300))
        return _text(values), f"{what} scaled"
    raw = pick(rng, RAW)
    holder[key] = "@@mark@@"
    return _text(values).replace(b'"@@mark@@"', raw.encode()), f"{what} is {raw[:40]}"


def _places(values: Any) -> Any:
    """Every holder and key in it."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield values, key
            yield from _places(value)
    elif isinstance(values, list):
        for key, value in enumerate(values):
            yield values, key
            yield from _places(value)


def _text(values: Any) -> bytes:
    return json.dumps(values).encode("utf-8", "surrogatepass")


def change_json_file(rng: Rng, files: Files) -> Mutated:
    """`change_json` of one of the files."""
    name = pick(rng, sorted(files))
    content, what = change_json(rng, files[name])
    return {**files, name: content}, f"{name}: {what}"
