"""The epochs of a training in `history.csv`, in TensorBoard and in the log, beside nnU-Net's own records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pe_nnunet.files import atomic_csv, atomic_json
from pe_nnunet.sampling.build import voxel_mm3
from pe_nnunet.trainers.callback import Callback
from pe_nnunet.trainers.monitor import SIZE_NAMES, collapse_warning, count_emboli, summarise

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

HISTORY_FILE = "history.csv"
NNUNET_COLUMNS = {
    "train_loss": "train_losses",
    "validation_loss": "val_losses",
    "pe_dice": "mean_fg_dice",
    "pe_dice_averaged": "ema_fg_dice",
    "learning_rate": "lrs",
}
"""Column of the table: key in nnU-Net's logger."""
TENSORBOARD_FOLDER = "tensorboard"
TENSORBOARD_MISSING = (
    "TensorBoard is not installed (pip install 'pe-nnunet[tensorboard]'): history.csv holds the same numbers"
)


class TensorBoardLogger:
    """TensorBoard as one of nnU-Net's loggers.

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


class History(Callback):
    """Records the recipe and every epoch, and warns where the network has collapsed.

    Args:
        folder: Where `history.csv` and TensorBoard's files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._counts: list[dict[str, Any]] = []  # one a validation batch of this epoch
        self._tensorboard: TensorBoardLogger | None = None

    def on_train_start(self, trainer: PETrainer, /) -> None:
        """The recipe is added to nnU-Net's `debug.json`; TensorBoard joins its loggers."""
        if trainer.local_rank != 0:
            return
        debug = self.folder / "debug.json"
        atomic_json(debug, json.loads(debug.read_text(encoding="utf-8")) | {"recipe": trainer.recipe.as_dict()})
        if self._tensorboard is not None:
            return
        try:
            self._tensorboard = TensorBoardLogger(self.folder / TENSORBOARD_FOLDER, trainer.current_epoch)
        except ImportError:
            trainer.print_to_log_file(TENSORBOARD_MISSING)
        else:
            trainer.logger.loggers.append(self._tensorboard)

    def on_validation_batch_end(self, trainer: PETrainer, predicted: Tensor, truth: Tensor, /) -> None:
        """Emboli are counted."""
        voxel = voxel_mm3(trainer.plans_manager, trainer.configuration_manager)
        self._counts.append(count_emboli(predicted.numpy(), truth.numpy(), voxel))

    def on_validation_end(self, trainer: PETrainer, /) -> None:
        """The epoch's row: in the table, in W&B and TensorBoard, in the log."""
        positive = float(np.mean([output["positive"] for output in trainer.train_outputs]))
        ours = {"positive_patches": positive} | summarise(self._counts)
        self._counts.clear()
        logged = {name: float(trainer.logger.get_value(key, step=-1)) for name, key in NNUNET_COLUMNS.items()}
        self.rows.append({"epoch": trainer.current_epoch} | logged | ours)
        if trainer.local_rank != 0:
            return
        write_history(self.folder / HISTORY_FILE, self.rows)
        for logger in trainer.logger.loggers:
            for name, value in ours.items():
                if value is not None:
                    logger.log(name, value, trainer.current_epoch)
        for line in log_lines(self.rows):
            trainer.print_to_log_file(line)

    def on_epoch_end(self, trainer: PETrainer, /) -> None:  # noqa: ARG002
        """A training may be killed at any moment."""
        if self._tensorboard is not None:
            self._tensorboard.flush()

    def on_save_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:  # noqa: ARG002
        """The table goes on after a crash."""
        checkpoint["pe_history"] = self.rows

    def on_load_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:  # noqa: ARG002
        """From the checkpoint's last epoch."""
        self.rows = checkpoint["pe_history"]


def log_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the log says of the last epoch: positive patches, recall of emboli by size, whether the network collapsed.

    Args:
        rows: The table's, one an epoch.
    """
    positive = f"patches with PE: {rows[-1]['positive_patches']:.0%}"
    recalls = {name: rows[-1][f"recall_{name}"] for name in SIZE_NAMES}
    shown = [f"{name} {value:.0%}" for name, value in recalls.items() if value is not None]
    warning = collapse_warning(rows)
    return [positive, f"emboli found: {', '.join(shown) or 'none there'}", *([warning] if warning else [])]


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table anew: a resumed training leaves no epoch twice.

    Args:
        path: The CSV file.
        rows: One an epoch, with the same keys; None becomes an empty cell.
    """
    atomic_csv(path, list(rows[0]), rows)
