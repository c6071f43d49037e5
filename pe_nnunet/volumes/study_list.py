"""Scans by a list of studies, a CSV or Parquet file, instead of by the folder that holds them all."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError, InputError, MissingExtraError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.files.objects import is_address, require_address
from pe_nnunet.volumes.find import case_ids, clean, find_scans
from pe_nnunet.volumes.scan import ScanRef
from pe_nnunet.volumes.stored import stored_study

PATH, CASE = "path", "case"


def listed_scans(file: Path, how: Mapping[str, Any], *, stored: bool = False) -> tuple[list[ScanRef], Path]:
    """The scans of a list, in its order.

    A study that is not there, or holds no scan, is in the list all the same: its reading fails, and the others go on.

    Args:
        file: Its column `path` names volume files and folders, relative to the file's own; a column `case`, if there is
            one, says what the studies are called, and each is then one scan.
        how: Keywords of `find_scans`.
        stored: Whether paths may be addresses in object storage; each is then one scan, and looked at when it is read.

    Returns:
        The scans, and the folder above them all.

    Raises:
        InputError: PE-IN-002 if the file does not exist; PE-CLU-007 if it is no such list, or calls two studies alike;
            PE-IN-004 if two scans would be called alike by their paths.
        ConfigurationError: PE-CLU-021 if addresses may not be in it, or stand beside paths; PE-CLU-024 if one is none.
        MissingExtraError: PE-CLU-008 if it is Parquet and pyarrow is not installed.
    """
    rows = _rows(file)
    addresses = sum(is_address(row[PATH]) for row in rows)
    if addresses not in ({0, len(rows)} if stored else {0}):
        text = f"{addresses} of {len(rows)} studies lie in object storage"
        hint = "list those that lie here apart" if stored else "predict-fused reads them; else fetch them first"
        raise ConfigurationError("PE-CLU-021", f"{file}: {text}", hint)
    above = file.absolute().parent
    found = [(row, ref) for row in rows for ref in _scans(row[PATH] if addresses else above / row[PATH], how)]
    paths = [ref.path for _, ref in found]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    if CASE not in rows[0]:
        if again := [path for path, count in Counter(paths).items() if count > 1]:
            raise InputError("PE-CLU-007", f"{file} names {again[0]} twice", "remove one of the rows")
        return [replace(ref, case_id=one) for one, (_, ref) in zip(case_ids(paths, root), found, strict=True)], root
    taken: set[str] = set()
    for row, _ in found:
        name = row[CASE].lower()  # file systems may not tell case
        if row[CASE] != clean(row[CASE]) or name in taken:
            why = "it is the name of two scans" if name in taken else "expected letters, digits, `_` and `-`"
            raise InputError("PE-CLU-007", f"{file}: case {row[CASE]!r}: {why}", "give each scan a name of its own")
        taken.add(name)
    return [replace(ref, case_id=row[CASE]) for row, ref in found], root


def _scans(path: Path | str, how: Mapping[str, Any]) -> list[ScanRef]:
    if isinstance(path, str):
        return [stored_study(require_address(path), "", how)]
    try:
        return find_scans(path, **how)
    except InputError:
        return [ScanRef(path.name, "file", path, (path,))]


def _rows(file: Path) -> Sequence[Mapping[str, str]]:
    """The rows of a table, each with a path."""
    if not file.is_file():
        raise InputError("PE-IN-002", f"{file} does not exist", "check the path")
    try:
        rows = _of_parquet(file) if file.suffix == ".parquet" else _of_csv(file)
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's are ValueErrors
        text = " ".join(str(error).split())
        raise InputError("PE-CLU-007", f"{file} cannot be read: {text}", "give CSV in UTF-8, or Parquet") from error
    if not rows or not rows[0].get(PATH):
        columns = list(rows[0]) if rows else []
        said = f"its columns are {', '.join(columns)}" if columns else "it has no rows"
        hint = did_you_mean(PATH, columns) or f"name the column of files and folders `{PATH}`"
        raise InputError("PE-CLU-007", f"{file} is no list of studies: {said}", hint)
    lacking = next(
        (k for k, row in enumerate(rows, 1) if not all(row.get(name) for name in (PATH, CASE) if name in row)), 0
    )
    if lacking:
        raise InputError("PE-CLU-007", f"{file}: row {lacking} has an empty cell", "fill it, or remove the row")
    return rows


def _of_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = list(csv.DictReader(text))
    longer = next((k for k, row in enumerate(rows, 1) if None in row), 0)  # where its other cells are
    if longer:
        hint = "put what holds a comma in quotes"
        raise InputError("PE-CLU-007", f"{file}: row {longer} has more cells than the first line", hint)
    return rows


def _of_parquet(file: Path) -> list[dict[str, str]]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            "PE-CLU-008", f"{file} is Parquet, and pyarrow is not installed", "pip install pyarrow, or give CSV"
        ) from error
    table = parquet.read_table(file)
    kept = table.select([name for name in (PATH, CASE) if name in table.column_names] or table.column_names[:1])
    return [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in kept.to_pylist()]
