"""Files and folders that appear whole or not at all: written under a temporary name, then renamed; and locks."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pe_nnunet.errors import OutputError
from pe_nnunet.errors.shown import escaped_for_json, shown_lines
from pe_nnunet.files.locks import locked
from pe_nnunet.files.temporary import flush, flush_all, flush_names, put_in_place, temporary_file, temporary_folder


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` with the same ending; renamed to `path` if the block succeeds, else removed.

    Missing parent folders are made. The temporary file is there, empty, under a random name: no link lies in its place.

    Raises:
        OutputError: PE-OUT-001 where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as temporary:
            yield temporary
            flush(temporary)
            temporary.replace(path)
            flush_names(path.parent)
    except (OSError, RuntimeError) as error:  # SimpleITK raises RuntimeError
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise OutputError(
            "PE-OUT-001", f"{path} cannot be written: {reason}", "check free space, permissions and the folder"
        ) from error


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` if the block succeeds; else nothing changes.

    Raises:
        OutputError: PE-OUT-001 where something cannot be written.
    """
    with _staged(folder) as temporary:
        yield temporary
        flush_all(temporary)
        with in_turn(folder):
            put_in_place(temporary, folder)


@contextmanager
def atomic_entries(folder: Path, *, last: str = "") -> Iterator[Path]:
    """A temporary folder whose entries are put into `folder` if the block succeeds; else nothing there changes.

    A new folder appears at once. In one that is there, an entry of the same name is replaced as a whole, and what has
    other names stays.

    Args:
        folder: Where the entries go; made if missing.
        last: Name of the entry that says what the others are: it is not there until all others are.

    Raises:
        OutputError: PE-OUT-001 where something cannot be written.
    """
    with _staged(folder) as temporary:
        yield temporary
        flush_all(temporary)
        with in_turn(folder):
            if not folder.exists():
                temporary.rename(folder)
                return
            made = sorted(temporary.iterdir(), key=lambda path: path.name == last)
            if any(path.name == last for path in made):
                (folder / last).unlink(missing_ok=True)
            for path in made:
                put_in_place(path, folder / path.name)
            flush_names(folder)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold the right to put entries into a folder, which may not be there yet; wait while another process does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".lock-{text_sha256(folder.name)[:16]}")
    with locked(lock, OutputError("PE-OUT-001", f"{folder} cannot be written: it is locked", "try again"), wait=True):
        yield


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A temporary folder beside one that will be written."""
    new_parent = not folder.parent.exists()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder) as temporary:
            yield temporary
            flush_names(folder.parent)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            "PE-OUT-001",
            f"{folder} cannot be written: {getattr(error, 'strerror', None) or error}",
            "check free space, permissions and the folder",
        ) from error
    finally:
        if new_parent:
            with suppress(OSError):  # not empty: something was written
                folder.parent.rmdir()


def atomic_text(path: Path, text: str) -> None:
    """Write text as UTF-8 with line feeds at line ends; bytes of a file name that are no UTF-8 are escaped.

    Raises:
        OutputError: PE-OUT-001.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def atomic_json(path: Path, obj: Any) -> None:
    """Write an object as JSON in its own key order: NumPy scalars and arrays and paths as plain values, NaN as null.

    Control and format characters, and bytes of a file name that are no UTF-8, are written as JSON's escapes.

    Raises:
        OutputError: PE-OUT-001.
    """
    text = json.dumps(_plain(obj), indent=2, ensure_ascii=False, allow_nan=False)
    atomic_text(path, escaped_for_json(text) + "\n")


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

    A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula. A text that does so, and is no number,
    gets an apostrophe before it, which `csv_value` takes away; control characters in texts are escaped, and a text
    stays on one line.

    Args:
        header: Names of the columns.
        rows: The cells of each row in this order, or a mapping that has a cell for each name; None is an empty cell.

    Source: OWASP, CSV Injection.

    Example:
        >>> csv_text(["id", "note"], [(1, None), {"note": "a,b", "id": 2}]).split()
        ['id,note', '1,', '2,"a,b"']
        >>> csv_text(["note"], [["=1+1"], ["-3.5"], ["-a"]]).split()
        ['note', "'=1+1", '-3.5', "'-a"]
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, header))
    cells = ([row[name] for name in header] if isinstance(row, Mapping) else row for row in rows)
    writer.writerows(map(_cell, row) for row in cells)
    return text.getvalue()


# Full-width signs count too, and so does what has an apostrophe already, so that reading takes away one alone.
_FORMULA = re.compile(r"[\s']*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet runs, on one line."""
    if not isinstance(value, str | Path):
        return value
    text = shown_lines(re.sub(r"[\t\r\n]", " ", str(value)))
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_value(cell: str) -> str:
    """The text that a cell of `csv_text` was made of.

    Example:
        >>> csv_value("'=1+1"), csv_value("'quoted'")
        ('=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def text_sha256(text: str) -> str:
    """SHA-256 of a text as UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def tree_sha256(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder but hidden ones; links are followed.

    Args:
        path: The file or folder.

    Returns:
        Hexadecimal; empty where there is nothing.
    """
    if path.is_dir():
        names = (Path(folder, name) for folder, _, files in os.walk(path, followlinks=True) for name in files)
        found = sorted(name.relative_to(path) for name in names if not name.name.startswith("."))
        return text_sha256("\0".join(f"{name}\0{tree_sha256(path / name)}" for name in found))
    if not path.is_file():
        return ""
    return bytes_sha256(path)


def bytes_sha256(*paths: Path) -> str:
    """SHA-256 of the bytes of files, one behind the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
