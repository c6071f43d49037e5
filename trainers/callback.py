"""What a training calls at set moments, on the model of lightning's `Callback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer


class Callback:
    """Does nothing at any moment; a subclass overrides the methods that concern it.

    `PETrainer` calls its `callbacks` in their order, from nnU-Net's hooks. `trainer.train_outputs` holds what the
    training steps of the epoch have returned so far, and is empty outside of an epoch.
    """

    def on_train_start(self, trainer: PETrainer, /) -> None:
        """Network and loaders are there, and what a checkpoint held is loaded."""

    def on_train_batch_end(self, trainer: PETrainer, /) -> None:
        """A training step was made."""

    def on_validation_start(self, trainer: PETrainer, /) -> None:
        """The epoch's validation begins."""

    def on_validation_batch_end(self, trainer: PETrainer, predicted: Tensor, truth: Tensor, /) -> None:
        """A batch was validated; `predicted` and `truth` are (batch, ...) bool on the CPU: where PE is."""

    def on_validation_end(self, trainer: PETrainer, /) -> None:
        """The epoch's validation has been made and logged."""

    def on_epoch_end(self, trainer: PETrainer, /) -> None:
        """nnU-Net has ended the epoch: `trainer.current_epoch` is the next one."""

    def on_sigterm(self, trainer: PETrainer, /) -> None:
        """The process is about to end, within an epoch or between two."""

    def on_train_end(self, trainer: PETrainer, /) -> None:
        """The final checkpoint is written."""

    def on_save_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:
        """Add to a checkpoint what the callback needs to go on."""

    def on_load_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:
        """Take it back; the trainer's own part is loaded."""
