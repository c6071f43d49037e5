"""How long a training will take, said after its first steps: nnU-Net is silent until the first epoch has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pe_nnunet.cases import duration
from pe_nnunet.trainers.callback import Callback

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

FIRST, LAST = 4, 14  # steps between which is measured: the first ones prepare
VALIDATION_SHARE = 0.4  # of a training step, for a validation one: no backward pass


class Forecast(Callback):
    """Says once how long an epoch takes, and the training."""

    def __init__(self) -> None:
        self._steps, self._since = 0, 0.0

    def on_train_batch_end(self, trainer: PETrainer) -> None:
        """Measure some steps of the first epoch of this run."""
        self._steps += 1
        if self._steps == FIRST:
            self._since = time.monotonic()
        elif self._steps == LAST:
            step = (time.monotonic() - self._since) / (LAST - FIRST)
            count, epochs = trainer.num_iterations_per_epoch, trainer.num_epochs - trainer.current_epoch
            epoch = step * (count + VALIDATION_SHARE * trainer.num_val_iterations_per_epoch)
            trainer.print_to_log_file(
                f"{step:.2g} s a step: about {duration(epoch)} an epoch of {count} steps, {duration(epoch * epochs)} "
                f"for {epochs} epochs, and then the validation of whole scans"
            )
