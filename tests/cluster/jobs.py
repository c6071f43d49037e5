"""What workers do in the tests, in a module that they can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pe_nnunet.errors import InputError


def double(number: int) -> tuple[int, int, str]:
    """The number twice, and who did it."""
    if number < 0:
        raise InputError("PE-IN-003", "below zero", "give more")
    time.sleep(0.1)  # or one worker is done before the other has started
    return 2 * number, os.getpid(), os.environ.get("RAY_USAGE_STATS_ENABLED", "")


def kill_once(mark: str, number: int) -> int:
    """The worker of number 3 is killed the first time."""
    if number == 3 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def poison(number: int) -> int:
    """Number 2 kills each worker that touches it."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
