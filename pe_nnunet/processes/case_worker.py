"""The other side of a `CaseProcess`: it does the jobs of a pipe, and takes no more memory than is free.

Objects go through a pipe, not through /dev/shm, which is 64 MiB in many containers; arrays and images go as their
bytes, without a copy on the sender's side.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pe_nnunet.processes import end_with_parent, free_bytes

if sys.platform != "win32":
    import resource

SPARE_BYTES = 256 << 20  # beside what is free, for what the libraries themselves take


@dataclass(frozen=True)
class Begun:
    """A job has begun, at this second of the monotonic clock, which all processes share."""

    at: float


@dataclass(frozen=True)
class Raised:
    """What a job raised, with its traceback as text."""

    error: Exception
    trace: str


def _send(pipe: Connection, content: Any) -> None:
    """Send an object; the bytes of arrays and images follow it."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    pipe.send_bytes(pickle.dumps([view.nbytes for view in raw]))
    pipe.send_bytes(head)
    for view in raw:
        for start in range(0, view.nbytes, _BLOCK):
            pipe.send_bytes(view[start : start + _BLOCK])


_BLOCK = 1 << 30  # Windows takes no message of 2 GiB


def receive(pipe: Connection) -> Any:
    """The next object of a pipe.

    Raises:
        EOFError, OSError: If the other side has gone.
        MemoryError: If its bytes do not fit into memory.
    """
    import numpy as np  # not where a command is started

    sizes: Sequence[int] = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from a process of our own
    head = pipe.recv_bytes()
    buffers = []
    for size in sizes:
        buffer: Any = np.empty(size, np.uint8)
        for start in range(0, size, _BLOCK):
            pipe.recv_bytes_into(memoryview(buffer)[start : start + _BLOCK])
        buffers.append(buffer)
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - as above


def serve(pipe: Connection) -> None:
    """Do the jobs of a pipe until it closes."""
    import SimpleITK as sitk

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that temporary files are removed
    end_with_parent()
    _silence_libraries()
    most_threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    with suppress(EOFError, ConnectionError):
        while True:
            folder, threads, sys.path[:] = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own parent
            message = pipe.recv_bytes()
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads or most_threads)
            try:
                with suppress(OSError):  # a folder that is gone
                    os.chdir(folder)
                job, args = pickle.loads(message)  # noqa: S301 - from our own parent
                _limit_memory()
                _send(pipe, Begun(time.monotonic()))
                answer = job(*args)
            except Exception as error:  # noqa: BLE001 - the parent decides what it means
                answer = _portable(error)
            try:
                _send(pipe, answer)
            except (pickle.PicklingError, TypeError, AttributeError, MemoryError) as error:
                _send(pipe, _portable(error))
            del answer


def _silence_libraries() -> None:
    """Let Python alone write to the terminal: what C++ says before it aborts, the parent says in one line."""
    with suppress(OSError):
        own = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = own


def _portable(error: Exception) -> Raised:
    """An error as it can be sent, with its traceback as text."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - classes of other packages may not be restored
    except Exception:  # noqa: BLE001
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return Raised(error, trace)


def _limit_memory() -> None:
    """Let this process take what is free now, and no more: a request beyond that is a MemoryError, and no swapping."""
    free = free_bytes()
    if sys.platform == "win32" or free is None:
        return
    with suppress(OSError, ValueError, StopIteration, IndexError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        taken = int(next(line for line in lines if line.startswith("VmData")).split()[1]) << 10
        most, hard = taken + free + SPARE_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
