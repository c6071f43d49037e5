"""What a run left, byte for byte; what may differ between two runs of a command is said here and nowhere else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = ("seconds", "timings_s")  # keys of manifests and records; pages show them, so their hashes differ too
WITH_SECONDS = ("report",)  # in `files_sha256`
TEMPORARY = re.compile(r"^\.(writing|replaced|lock|install|training|summary|part)|\.tmp$|\.part$|\.building$|\.lock$")
_SUMMARY_SECONDS = re.compile(r"^((?:[^,\n]*,){4})[^,\n]*", re.MULTILINE)
# On a case's page what its stages took, and in the cohort's table what cases took
_PAGE_SECONDS = re.compile(r'<dt>Seconds</dt>.*|<td data-value="\d+\.\d+">\d+</td>')
# How networks were trained: one that was interrupted has other times, and says that it was
TRAINING_LOGS = re.compile(r"training_log_.*\.txt$|progress\.png$|debug\.json$|history\.(csv|png)$|\.cache$")


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files below a folder, by their paths, timings left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_lasting(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not TRAINING_LOGS.search(path.name)
    }


def visible(found: Mapping[str, str]) -> dict[str, str]:
    """Those of the files that lie under no temporary name: what a person, or the next program, takes for results."""
    return {
        n: digest
        for n, digest in found.items()
        if not any(part.startswith(".") for part in n.split("/")[:-1]) and not TEMPORARY.search(n.split("/")[-1])
    }


def left_behind(*folders: Path) -> list[str]:
    """Temporary files, folders and locks that no run should leave."""
    return [str(path) for folder in folders for path in folder.rglob("*") if TEMPORARY.search(path.name)]


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What is missing, not expected, or other than expected."""
    lines = [f"missing: {name}" for name in expected.keys() - found.keys()]
    lines += [f"not expected: {name}" for name in found.keys() - expected.keys()]
    lines += [f"differs: {name}" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    return sorted(lines)


def _lasting(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix == ".json":
        try:
            content = json.loads(raw)
        except ValueError:  # half written: under a temporary name, or a finding
            return raw
        return json.dumps(_without_seconds(content), sort_keys=False).encode()
    if path.name == "summary.csv":
        return _SUMMARY_SECONDS.sub(r"\1", raw.decode()).encode()
    if path.suffix == ".html":
        return _PAGE_SECONDS.sub("", raw.decode()).encode()
    return raw


def _without_seconds(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_seconds(value) for key, value in content.items() if key not in (*SECONDS, *WITH_SECONDS)}
    return [_without_seconds(part) for part in content] if isinstance(content, list) else content
