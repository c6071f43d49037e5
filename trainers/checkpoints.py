"""Checkpoints: when one is written and what it holds; files of plain types alone, written whole, with an older copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.temporary import temporary_file
from pe_nnunet.trainers.callback import Callback

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

LATEST = "checkpoint_latest.pth"
OLDER = "checkpoint_latest_older.pth"


def plain(value: Any) -> Any:
    """The same content in types that `torch.load(weights_only=True)` accepts: numpy's become Python's.

    Args:
        value: Nested dictionaries, lists and tuples of numbers, text, tensors, numpy values and devices.

    Raises:
        TypeError: On anything else, which would tie the file to the code that wrote it.

    Example:
        >>> plain({"dice": [np.float32(0.5)], "ids": np.arange(2)})
        {'dice': [0.5], 'ids': [0, 1]}
    """
    if value is None or isinstance(value, torch.Tensor) or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (torch.device, os.PathLike, str)):
        return str(value)
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def write_checkpoint(path: Path, content: Mapping[str, Any], older: Path | None = None) -> None:
    """Write a checkpoint; a process killed at any moment leaves the old file or the new one.

    Args:
        path: Where to.
        content: See `plain`.
        older: Where the file that is replaced is kept, if it is.
    """
    with temporary_file(path) as temporary:
        with temporary.open("wb") as file:
            torch.save(plain(content), file)
            file.flush()
            os.fsync(file.fileno())
        if older is not None and path.exists():
            kept = _second_name(older)
            kept.unlink(missing_ok=True)
            try:
                kept.hardlink_to(path)
            except OSError:  # a file system without links
                shutil.copyfile(path, kept)
            kept.replace(older)
        temporary.replace(path)


def _second_name(older: Path) -> Path:
    return older.with_name(f".{older.name}.tmp")


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; of the latest, where it is damaged, the older copy.

    Args:
        path: The file.
        device: Where its tensors go.

    Raises:
        ConfigurationError: PE-TRAIN-005 if there is nothing that can be read.
    """
    candidates = [path, path.with_name(OLDER)] if path.name == LATEST else [path]
    for candidate in candidates:
        try:
            content = torch.load(candidate, map_location=device, weights_only=True)
        except Exception as error:  # noqa: BLE001 - torch raises any of a dozen types for a damaged file
            print(f"{candidate} cannot be read: {error}")
            continue
        if isinstance(content, dict) and "pe_recipe" in content:
            return content
    raise ConfigurationError(
        "PE-TRAIN-005",
        f"{path} is damaged or not a checkpoint of this trainer",
        "to start from another model's weights, train with -pretrained_weights",
    )


class Checkpoints(Callback):
    """Writes the latest checkpoint every so many epochs, after so many minutes, and on SIGTERM; reads any.

    A checkpoint holds all that the rest of the training depends on. The chance in a step follows from the seed and the
    step's number, so it needs no state of random generators, and can be written within an epoch: it then holds what the
    epoch's steps have returned so far.

    Args:
        folder: Of the fold.
        epochs: After how many one is due; 0 is a tenth of the training, at most 50.
        minutes: After how many one is due at the next epoch's end.

    Attributes:
        current: The file that was written or read last, whose weights the network has after the last epoch.
    """

    def __init__(self, folder: Path, epochs: int, minutes: float) -> None:
        self.folder = folder
        self.epochs = epochs
        self.minutes = minutes
        self.current: Path | None = None
        self._other_optimizer = ""  # of the checkpoint that was read, where the recipe has another one
        self._saved_at = monotonic()

    def on_train_start(self, trainer: PETrainer, /) -> None:
        """Minutes count from here.

        Raises:
            ConfigurationError: PE-TRAIN-005 if the training was begun with another optimizer.
        """
        if self._other_optimizer:  # validation alone needs none
            raise ConfigurationError(
                "PE-TRAIN-005",
                f"the checkpoint was trained by {self._other_optimizer}, but the recipe has {trainer.recipe.optimizer}",
                f"go on with optimizer={self._other_optimizer}, or train from the start",
            )
        self._saved_at = monotonic()

    def on_epoch_end(self, trainer: PETrainer, /) -> None:
        """After nnU-Net's part, so that the latest checkpoint holds the best score too."""
        epoch, every = trainer.current_epoch, self.epochs or max(1, min(50, trainer.num_epochs // 10))
        due = epoch % every == 0 or (monotonic() - self._saved_at) / 60 >= self.minutes
        if due and epoch < trainer.num_epochs:
            self.save(trainer, self.folder / LATEST, epoch)
            self._saved_at = monotonic()

    def on_sigterm(self, trainer: PETrainer, /) -> None:
        """Nothing of the epoch is lost."""
        self.save(trainer, self.folder / LATEST, trainer.current_epoch)

    def on_train_end(self, trainer: PETrainer, /) -> None:
        """The final checkpoint takes the place of the latest, which nnU-Net deletes, and of its older copy."""
        if trainer.local_rank == 0:
            for path in (self.folder / OLDER, _second_name(self.folder / OLDER)):
                path.unlink(missing_ok=True)

    def save(self, trainer: PETrainer, path: Path, epoch: int) -> None:
        """Write the state from which an epoch goes on; rank 0 alone.

        Args:
            trainer: Whose state.
            path: Where to.
            epoch: Counted from 0.
        """
        if trainer.local_rank != 0:
            return
        if trainer.disable_checkpointing:
            trainer.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        scaler = trainer.grad_scaler
        content = {
            "network_weights": trainer.bare_network().state_dict(),
            "pe_recipe": trainer.recipe.as_dict(),
            "pe_outputs_so_far": trainer.train_outputs,
            "optimizer_state": trainer.optimizer.state_dict(),
            "grad_scaler_state": None if scaler is None else scaler.state_dict(),
            "logging": {key: values[:epoch] for key, values in trainer.logger.get_checkpoint().items()},
            "_best_ema": trainer._best_ema,
            "current_epoch": epoch,
            "init_args": trainer.my_init_kwargs,
            "trainer_name": trainer.__class__.__name__,
            "inference_allowed_mirroring_axes": trainer.inference_allowed_mirroring_axes,
        }
        for callback in trainer.callbacks:
            callback.on_save_checkpoint(trainer, content)
        write_checkpoint(path, content, path.with_name(OLDER) if path.name == LATEST else None)
        self.current = path

    def load(self, trainer: PETrainer, stored: dict[str, Any] | str) -> None:
        """Take over a state, and say where the recipe has changed since.

        Args:
            trainer: Initialised.
            stored: What `save` wrote, or the path of its file.

        Raises:
            ConfigurationError: PE-TRAIN-005 if it cannot be read or is another trainer's.
        """
        if not isinstance(stored, dict):
            self.current = Path(stored)
            stored = read_checkpoint(Path(stored), trainer.device)
        before, now = stored["pe_recipe"], trainer.recipe.as_dict()
        changed = [f"{key} {before[key]} -> {now[key]}" for key in now if key in before and before[key] != now[key]]
        if changed:
            trainer.print_to_log_file(f"The recipe differs from the checkpoint's: {', '.join(changed)}")
        trainer.bare_network().load_state_dict(stored["network_weights"])
        own = before.get("optimizer", now["optimizer"])
        self._other_optimizer = "" if own == now["optimizer"] else own
        if not self._other_optimizer:
            trainer.optimizer.load_state_dict(stored["optimizer_state"])
            for group in trainer.optimizer.param_groups:  # stored with the groups as well
                group["weight_decay"] = trainer.recipe.weight_decay
        if trainer.grad_scaler is not None and stored["grad_scaler_state"] is not None:
            trainer.grad_scaler.load_state_dict(stored["grad_scaler_state"])
        trainer.logger.load_checkpoint(trainer.logger.get_checkpoint() | stored["logging"])
        trainer._best_ema = stored["_best_ema"]
        trainer.current_epoch = stored["current_epoch"]
        trainer.inference_allowed_mirroring_axes = stored["inference_allowed_mirroring_axes"]
        trainer.train_outputs = [
            {key: np.asarray(value, np.float32) for key, value in output.items()}
            for output in stored["pe_outputs_so_far"]
        ]
        for callback in trainer.callbacks:
            callback.on_load_checkpoint(trainer, stored)
