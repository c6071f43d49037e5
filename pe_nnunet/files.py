"""Files that appear whole or not at all, of text, JSON and CSV: written under a temporary name, then renamed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pe_nnunet.errors import OutputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` with the same ending; renamed to `path` if the block succeeds, else removed.

    Missing parent folders are made.

    Raises:
        OutputError: PE-OUT-001 where the file cannot be written.
    """
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # SimpleITK raises RuntimeError
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise OutputError(
            "PE-OUT-001", f"{path} cannot be written: {reason}", "check free space, permissions and the folder"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def atomic_text(path: Path, text: str) -> None:
    """Write text as UTF-8 with line feeds at line ends.

    Raises:
        OutputError: PE-OUT-001.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def atomic_json(path: Path, obj: Any) -> None:
    """Write an object as JSON in its own key order: NumPy scalars and arrays and paths as plain values, NaN as null.

    Raises:
        OutputError: PE-OUT-001.
    """
    atomic_text(path, json.dumps(_plain(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(obj: Any) -> Any:
    """The object in JSON's own types; NaN and infinities, which JSON lacks, become None."""
    if isinstance(obj, dict):
        return {str(key): _plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple | set | frozenset):
        return [_plain(value) for value in (sorted(obj) if isinstance(obj, set | frozenset) else obj)]
    if hasattr(obj, "tolist"):  # arrays and scalars of NumPy, which need not be loaded for this
        return _plain(obj.tolist())
    if isinstance(obj, Path):
        return str(obj)
    if isinstance(obj, float) and not math.isfinite(obj):
        return None
    return obj


def atomic_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table; see `csv_text`.

    Raises:
        OutputError: PE-OUT-001.
    """
    atomic_text(path, csv_text(header, rows))


def csv_text(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV with line feeds at line ends.

    Args:
        header: Names of the columns.
        rows: The cells of each row in this order, or a mapping that has a cell for each name; None is an empty cell.

    Example:
        >>> csv_text(["id", "note"], [(1, None), {"note": "a,b", "id": 2}]).split()
        ['id,note', '1,', '2,"a,b"']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([row[name] for name in header] if isinstance(row, Mapping) else row for row in rows)
    return text.getvalue()


def text_sha256(text: str) -> str:
    """SHA-256 of a text as UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _flush(path: Path) -> None:
    """Bring the bytes to the disk before the rename, so that a crash leaves no empty file under the final name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
