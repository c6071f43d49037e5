"""What workers do in the tests, in a module that they can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pe_nnunet.errors import InputError


def double(folder: str, workers: int, number: int) -> tuple[int, int, str, str]:
    """The number twice, who did it, and what it was told; the first cases wait until so many workers are there."""
    Path(folder, str(os.getpid())).touch()
    end = time.monotonic() + 120
    while len(list(Path(folder).iterdir())) < workers and time.monotonic() < end:
        time.sleep(0.02)
    if number < 0:
        raise InputError("PE-IN-003", "below zero", "give more")
    time.sleep(0.1)  # or a batch is done before anything can happen to it
    environment = os.environ
    return 2 * number, os.getpid(), environment["RAY_USAGE_STATS_ENABLED"], environment.get("CUDA_VISIBLE_DEVICES", "")


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


def read(number: int) -> tuple[int, float, float]:
    """Takes a while; who did it, and when."""
    began = time.time()
    time.sleep(0.2)
    return os.getpid(), began, time.time()


def work(found: tuple[int, float, float]) -> tuple[int, int, float, float]:
    """Takes a while; who read and who worked, when reading began and when work ended."""
    reader, began, _ = found
    time.sleep(0.2)
    return reader, os.getpid(), began, time.time()


def greedy(number_and_gib: tuple[int, float]) -> int:
    """The number, after having taken so much memory, a part at a time."""
    number, gib = number_and_gib
    taken = []
    for _ in range(int(gib * 16)):
        taken.append(b"\1" * (64 << 20))
        time.sleep(0.05)
    return number
