"""What ends a training before its last epoch: no gain, a file named `stop`, SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

STOP_FILE = "stop"


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
        at_once: End the process with exit code 0 where it is; else `received` tells.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.received = False
        self._at_once = at_once
        self._owner = os.getpid()
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
            self._previous = signal.signal(signal.SIGTERM, self._handle)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGTERM, self._previous if self._previous is not None else signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - Python's signature
        if os.getpid() != self._owner:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self.received = True
        if self._at_once:
            raise SystemExit(0)
