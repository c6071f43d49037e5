"""What the public datasets share: how they lie on disk, tables that come with them, and figures that are published.

Figures are compared with what was found, for an incomplete download should not go unseen.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes import image_suffix


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published figures of a dataset; None where there are none.

    Attributes:
        cases: Scans.
        slices: Slices of all scans.
        emboli: Emboli, as the dataset's own labels give them.
        negatives: Cases without emboli.
        test: Cases of the published test set.
    """

    cases: int | None = None
    slices: int | None = None
    emboli: int | None = None
    negatives: frozenset[str] | None = None
    test: frozenset[str] = frozenset()


def count_notes(published: Published, records: Mapping[str, CaseRecord], *, own_labels: bool) -> tuple[Note, ...]:
    """Warnings where what was converted is not what was published.

    Args:
        published: Of the dataset.
        records: What was converted.
        own_labels: The labels are the dataset's, not others that replace them.
    """
    slices = sum(record.geometry.size_xyz[2] for record in records.values())
    emboli = sum(record.embolus_count for record in records.values())
    counts = [("cases", len(records), published.cases), ("slices", slices, published.slices)]
    if own_labels:
        counts.append(("emboli", emboli, published.emboli))
    unlike: list[str] = []
    if own_labels and published.negatives is not None:
        bare = {case for case, record in records.items() if not record.embolus_count}
        unlike = sorted(bare ^ (published.negatives & set(records)))[:8]
    return differing_counts(counts, f"with or without emboli unlike published: {', '.join(unlike)}" if unlike else "")


def differing_counts(counts: Iterable[tuple[str, int, int | None]], other: str = "") -> tuple[Note, ...]:
    """A warning where counts are not those published.

    Args:
        counts: What is counted, how many were found, and how many are published.
        other: Another difference.
    """
    differs = [f"{found} {what}, {told} published" for what, found, told in counts if told not in (None, found)]
    differs += [other] if other else []
    return (Note("PE-CONV-023", "warning", "; ".join(differs)),) if differs else ()


def subfolder(src: Path, *names: str) -> Path:
    """The folder in `src` whose name begins with one of these, upper or lower case; else `src`, if it is called so.

    Returns:
        A folder of the first of the names that is not there, if there is none.
    """
    places = ((name, path) for folders in (entries(src), [src]) for name in names for path in folders)
    found = (path for name, path in places if path.name.lower().startswith(name.lower()) and path.is_dir())
    return next(found, src / names[0])


def require_subfolder(src: Path, dataset: str, *names: str) -> Path:
    """`subfolder`, which must be there.

    Raises:
        InputError: PE-IN-002 if there is no `src`, PE-CONV-026 if it is not laid out as the dataset.
    """
    if not src.is_dir():
        raise InputError("PE-IN-002", f"no folder {src}", f"name the folder in which {dataset} was unpacked")
    found = subfolder(src, *names)
    if not found.is_dir():
        there = ", ".join(path.name for path in entries(src)[:5]) or "nothing"
        raise InputError(
            "PE-CONV-026",
            f"{src} is not laid out as {dataset}: no folder {' or '.join(names)}, but {there}",
            "name the folder above it",
        )
    return found


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, hidden files left out; nothing where there is no folder."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def scans_in(folder: Path) -> list[Path]:
    """One entry a case: the folders and volume files in a folder."""
    return [path for path in entries(folder) if path.is_dir() or image_suffix(path)]


def existing(*paths: Path) -> Path | None:
    """The one of these files that is there, or None.

    Raises:
        InputError: PE-CONV-006 if several are.
    """
    found = [path for path in paths if path.is_file()]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError("PE-CONV-006", f"several files could be the mask: {names}", "leave one of them")
    return found[0] if found else None


def read_table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file by column name, stripped of blanks.

    A byte order mark, `;` or tabs between the fields, and either kind of line ends are understood. Rows are read as
    they are asked for: such a table may have millions.

    Args:
        path: The file.
        columns: Those that must be there; the only ones that are given.

    Raises:
        InputError: PE-IN-002 if it is not there, PE-CONV-027 if a column is missing, a row is short or it is no text.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "it comes with the dataset")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            delimiter = max(",;\t", key=heading.count)
            names = [name.strip() for name in next(csv.reader([heading], delimiter=delimiter), [])]
            missing = [column for column in columns if column not in names]
            if missing:
                raise InputError(
                    "PE-CONV-027",
                    f"{path.name} lacks {', '.join(missing)}; it has {', '.join(names[:8])}",
                    "give the table that comes with the dataset",
                )
            places = {column: names.index(column) for column in columns}
            for number, row in enumerate(csv.reader(file, delimiter=delimiter), 2):
                if not row:
                    continue
                if len(row) <= max(places.values()):
                    raise InputError("PE-CONV-027", f"{path.name}, row {number} is cut off", "fetch it again")
                yield {column: row[place].strip() for column, place in places.items()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("PE-CONV-027", f"{path.name} cannot be read: {error}", "give a CSV file in UTF-8") from error


def number(text: str, where: str) -> float:
    """A finite number, with a point or a comma before its decimals.

    Args:
        text: From a table.
        where: For the message.

    Raises:
        InputError: PE-CONV-027 if it is none.

    Example:
        >>> number("12,5", "boxes.csv")
        12.5
    """
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError("PE-CONV-027", f"{where} holds {text!r}, a number expected", "correct the table")
    return value
