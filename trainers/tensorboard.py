"""TensorBoard beside nnU-Net's loggers, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "tensorboard"
MISSING = "TensorBoard is not installed (pip install 'pe-nnunet[tensorboard]'): history.csv holds the same numbers"


class TensorBoardLogger:
    """Takes what nnU-Net's logger hands on.

    Args:
        folder: Of the event files.
        first_epoch: Of this run: what an earlier run wrote from there on is hidden.

    Raises:
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_epoch)

    def log(self, key: str, value: Any, step: int) -> None:
        """A number of an epoch; what is none is left out."""
        if np.isscalar(value) or np.ndim(value) == 0:
            self._writer.add_scalar(key, float(value), step)

    def log_summary(self, key: str, value: Any) -> None:
        """A number of the whole training."""
        self.log(key, value, 0)

    def update_config(self, config: dict[str, Any]) -> None:
        """Settings, as text."""
        self._writer.add_text("settings", f"    {config}")

    def flush(self) -> None:
        """Write what is in memory: a training may be killed at any moment."""
        self._writer.flush()
