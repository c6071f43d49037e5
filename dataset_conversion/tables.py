"""Tables that come with datasets: CSV as programs and people leave them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pe_nnunet.errors import InputError


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
