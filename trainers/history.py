"""The epochs of a training as a table, beside nnU-Net's own records."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pe_nnunet.volumes.write import atomic_text

HISTORY_FILE = "history.csv"


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table anew: a resumed training leaves no epoch twice.

    Args:
        path: The CSV file.
        rows: One an epoch, with the same keys; None becomes an empty cell.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_text(path, text.getvalue())
