"""The epochs of a training as a table, beside nnU-Net's own records."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pe_nnunet.files import atomic_text
from pe_nnunet.trainers.monitor import SIZE_NAMES, collapse

HISTORY_FILE = "history.csv"
OF_NNUNET = {
    "train_loss": "train_losses",
    "validation_loss": "val_losses",
    "pe_dice": "mean_fg_dice",
    "pe_dice_averaged": "ema_fg_dice",
    "learning_rate": "lrs",
}


def logged_by_nnunet(logger: Any) -> dict[str, float]:
    """The last epoch's values in nnU-Net's logger, under the table's names."""
    return {name: float(logger.get_value(key, step=-1)) for name, key in OF_NNUNET.items()}


def told_of_epoch(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the log says of the last epoch beside nnU-Net's own lines.

    Args:
        history: The table's rows.
    """
    recalls = {name: history[-1][f"recall_{name}"] for name in SIZE_NAMES}
    shown = [f"{name} {value:.0%}" for name, value in recalls.items() if value is not None]
    warning = collapse(history)
    return [f"emboli found: {', '.join(shown) or 'none there'}", *([warning] if warning else [])]


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
