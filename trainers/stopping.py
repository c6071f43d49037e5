"""What ends a training before its last epoch: no gain, a file named `stop`, SIGTERM."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from torch import Tensor, distributed

from pe_nnunet.trainers.callback import Callback
from pe_nnunet.trainers.loaders import stop_workers

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

STOP_FILE = "stop"
GRACE_S = 5.0  # queueing systems give 30 s and more


def epochs_without_gain(scores: Sequence[float]) -> int:
    """How many epochs ago the highest score was reached first.

    Example:
        >>> epochs_without_gain([0.1, 0.4, 0.3, 0.4])
        2
    """
    return len(scores) - 1 - list(scores).index(max(scores)) if scores else 0


class StopSignal:
    """Notes SIGTERM inside a `with` block instead of dying of it.

    Worker processes that are forked inside the block die of it as they would without.

    Args:
        at_once: End the process with exit code 0 where it is, soon also where ending hangs; else `received` tells.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.received = False
        self._at_once = at_once
        self._told, self._left = threading.Event(), threading.Event()  # of the signal; that the block was left
        self._owner = 0
        self._previous: Any = None  # the handler before

    def __enter__(self) -> StopSignal:
        self._owner = os.getpid()
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
            self._previous = signal.signal(signal.SIGTERM, self._handle) or signal.SIG_DFL
            if self._at_once:
                threading.Thread(target=self._end_in_time, name="end on SIGTERM", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._told.set()
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - Python's signature
        if os.getpid() != self._owner:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self.received = True
        if self._at_once:
            self._told.set()
            raise SystemExit(0)

    def _end_in_time(self) -> None:
        """End the process if the block has not been left some seconds after the signal.

        nnU-Net validates with a pool of workers. A signal to all processes, as queueing systems send it, kills a worker
        that waits for a task while it holds the lock of their queue, and to close the pool takes that lock: for ever.
        """
        self._told.wait()
        if not self._left.wait(GRACE_S):
            for worker in multiprocessing.active_children():
                worker.kill()
            sys.stdout.flush()
            os._exit(0)


class SigtermExit(SystemExit):
    """Ends the process with exit code 0 after a step in which SIGTERM came."""


class Stopping(Callback):
    """Ends a training after an epoch for want of gain or at the user's wish, and after a step on SIGTERM.

    Attributes:
        sigterm: To be entered while the training runs.

    Args:
        folder: Where a file named `stop` ends the training.
        patience: Epochs without a better averaged pseudo Dice that end it; 0 is never.
    """

    def __init__(self, folder: Path, patience: int) -> None:
        self.sigterm = StopSignal()
        self.file = folder / STOP_FILE
        self.patience = patience

    def exit_on_sigterm(self) -> None:
        """Leave if the signal has come.

        Raises:
            SigtermExit: If so.
        """
        if self.sigterm.received:
            raise SigtermExit(0)

    def on_train_start(self, trainer: PETrainer, /) -> None:
        """A resumed training may have ended already."""
        self._stop_early(trainer)

    def on_train_batch_end(self, trainer: PETrainer, /) -> None:  # noqa: ARG002
        """On SIGTERM no further step is made."""
        self.exit_on_sigterm()

    def on_validation_batch_end(self, trainer: PETrainer, predicted: Tensor, truth: Tensor, /) -> None:  # noqa: ARG002
        """Nor a further batch validated."""
        self.exit_on_sigterm()

    def on_epoch_end(self, trainer: PETrainer, /) -> None:
        """Is there a reason not to begin another epoch?"""
        self.exit_on_sigterm()
        self._stop_early(trainer)

    def on_sigterm(self, trainer: PETrainer, /) -> None:
        """The workers end with their training."""
        for iterator in (trainer.dataloader_train, trainer.dataloader_val):
            stop_workers(iterator)
        trainer.print_to_log_file(f"SIGTERM: stopped in epoch {trainer.current_epoch}; --c goes on from here")

    def _stop_early(self, trainer: PETrainer) -> None:
        if not 0 < trainer.current_epoch < trainer.num_epochs:
            return
        if self.patience and epochs_without_gain(trainer.logger.get_value("ema_fg_dice", step=None)) >= self.patience:
            trainer.print_to_log_file(f"no gain in {self.patience} epochs: training ends")
            trainer.should_stop = True
        elif self._asked_by_file(trainer):
            trainer.print_to_log_file(f"{self.file} found: training ends")
            if trainer.local_rank == 0:
                self.file.unlink(missing_ok=True)  # else the next training would end at once
            trainer.should_stop = True

    def _asked_by_file(self, trainer: PETrainer) -> bool:
        """Whether rank 0 finds the file; it tells the others, which may look when the file is deleted already."""
        found = [self.file.exists()]
        if trainer.is_ddp:
            distributed.broadcast_object_list(found, src=0)
        return found[0]
