"""A process beside this one that does one job at a time and may be lost: by a crash, a time limit or want of memory.

Libraries that decode files are written in C and C++: a damaged file can make them abort, loop or take all memory, which
no `except` catches. In a process of its own that costs the job, and what this process holds, as loaded models, is kept.

Objects go through a pipe, not through /dev/shm, which is 64 MiB in many containers; arrays and images go as their
bytes, without a copy on the sender's side.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.processes import end_with_parent, free_bytes

if sys.platform != "win32":
    import resource

GRACE_S = 2.0  # between the request to end, after which temporary files are removed, and the kill
SPARE_BYTES = 256 << 20  # beside what is free, for what the libraries themselves take


@dataclass(frozen=True)
class Lost:
    """A job without a result, as its process was lost.

    Attributes:
        reason: In words, for a message.
        kind: `"time"`, `"memory"` or `"died"`.
        killed: The process was killed from outside, as systems do for want of memory: another try may succeed.
    """

    reason: str
    kind: str
    killed: bool = False


class CaseProcess:
    """One process for jobs, started at once and kept for further ones.

    Raises:
        ConfigurationError: PE-CONV-032 if the system allows no further process.
    """

    def __init__(self) -> None:
        # spawned, not forked: ITK's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        try:
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other,), daemon=True)
            self._process.start()
        except OSError as error:
            raise ConfigurationError(
                "PE-CONV-032",
                f"worker processes cannot be started: {error}",
                "allow more processes (ulimit -u), or end some",
            ) from error
        other.close()
        self._timeout_s: float | None = None
        self._begun_at: float | None = None
        self._preparing = False

    def prepare(self, module: str) -> None:
        """Let it import what its jobs need; the first of them waits for that."""
        self.begin(_import, module)
        self._preparing = True

    @property
    def alive(self) -> bool:
        """Whether it can take a job."""
        return self._process.is_alive()

    def begin(self, job: Callable[..., Any], *args: Any, timeout_s: float | None = None, threads: int = 0) -> None:
        """Start a job; `result` of an earlier one must have been taken.

        Args:
            job: A function of a module, or a `partial` of one.
            args: Its arguments; pickled, as it is.
            timeout_s: Seconds from its beginning after which it is given up; the time that imports take does not count.
            threads: For ITK; 0 for as many as it takes of itself.
        """
        if self._preparing:
            self._preparing = False
            self.result()
        self._timeout_s, self._begun_at = timeout_s, None
        message = pickle.dumps((job, args), protocol=5)
        with suppress(BrokenPipeError, ConnectionError):  # it has died; `result` says so
            self._pipe.send_bytes(pickle.dumps((_folder(), threads)))
            self._pipe.send_bytes(message)

    def result(self) -> Any:
        """Wait for what the job returns; `Lost` if it was lost with its process.

        Raises:
            Exception: What the job raised.
        """
        while True:
            try:
                if not self._pipe.poll(self.seconds_left()):
                    return self._give_up()
                found = _receive(self._pipe)
            except (EOFError, OSError, MemoryError) as error:
                return self._lost(error)
            if isinstance(found, _Raised):
                raise found.error from RuntimeError(found.trace)
            if not isinstance(found, _Begun):
                return found
            self._begun_at = found.at

    def begun(self) -> bool:
        """Take the message that a job has begun, if that is what is there; else its result is there, or its end."""
        if self._begun_at is not None:
            return False
        try:
            found = _receive(self._pipe)
        except (EOFError, OSError, MemoryError):
            self.kill()
            return False
        self._begun_at = found.at if isinstance(found, _Begun) else None
        return self._begun_at is not None

    def seconds_left(self) -> float | None:
        """Until the job is given up; None while it has not begun, or has no limit."""
        if self._timeout_s is None or self._begun_at is None:
            return None
        return max(0.0, self._begun_at + self._timeout_s - time.monotonic())

    def kill(self) -> None:
        """End it now, asking first: a job that listens removes its temporary files."""
        self._process.terminate()
        self._process.join(GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def _give_up(self) -> Lost:
        self.kill()
        return Lost(f"it took longer than {self._timeout_s:g} s", "time")

    def _lost(self, error: BaseException) -> Lost:
        if isinstance(error, MemoryError):
            self.kill()
            return Lost("its result does not fit into the memory that is free", "memory")
        self._process.join(GRACE_S)
        status = self._process.exitcode
        self.kill()
        if status is None or status >= 0:
            return Lost(f"its process ended with status {status}", "died")
        with suppress(ValueError):
            return Lost(f"its process ended by {signal.Signals(-status).name}", "died", -status == signal.SIGKILL)
        return Lost(f"its process ended by signal {-status}", "died")

    @property
    def pipe(self) -> Connection:
        """To wait on."""
        return self._pipe


_idle: list[CaseProcess] = []  # to start one takes a second or two


def start_ahead(module: str) -> None:
    """Start a process for jobs to come, while this one has other work, as loading models.

    Args:
        module: Where the jobs' functions are.
    """
    if not _idle:
        _idle.append(CaseProcess())
        _idle[-1].prepare(module)


@contextmanager
def case_processes(number: int) -> Iterator[list[CaseProcess]]:
    """Processes for jobs; those that are alive and idle in the end are kept for the next who asks.

    The list is the caller's to change: one that was lost is replaced by a new one in it.
    """
    taken = [process for process in _idle[:number] if process.alive]
    del _idle[:number]
    try:
        taken += [CaseProcess() for _ in range(number - len(taken))]
        yield taken
    except BaseException:
        for process in taken:
            process.kill()
        raise
    _idle.extend(process for process in taken if process.alive)


def first_done(processes: Iterable[CaseProcess]) -> CaseProcess:
    """Wait for the first of several processes whose job has ended, or must be given up: its `result` is there."""
    busy = list(processes)
    while True:
        limits = [left for process in busy if (left := process.seconds_left()) is not None]
        ready = wait([process.pipe for process in busy], min(limits, default=None))
        for process in busy:
            if process.pipe in ready and not process.begun():
                return process
            if process.seconds_left() == 0.0:
                return process


@dataclass(frozen=True)
class _Begun:
    at: float


@dataclass(frozen=True)
class _Raised:
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


def _receive(pipe: Connection) -> Any:
    sizes: Sequence[int] = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from a process of our own
    head = pipe.recv_bytes()
    buffers = []
    for size in sizes:
        buffer: Any = np.empty(size, np.uint8)
        for start in range(0, size, _BLOCK):
            pipe.recv_bytes_into(memoryview(buffer)[start : start + _BLOCK])
        buffers.append(buffer)
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - as above


def _serve(pipe: Connection) -> None:
    """Do the jobs of a pipe until it closes."""
    import SimpleITK as sitk

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that temporary files are removed
    end_with_parent()
    _silence_libraries()
    most_threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    with suppress(EOFError, ConnectionError):
        while True:
            folder, threads = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own parent
            message = pipe.recv_bytes()
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads or most_threads)
            try:
                with suppress(OSError):  # a folder that is gone
                    os.chdir(folder)
                job, args = pickle.loads(message)  # noqa: S301 - from our own parent
                _limit_memory()
                _send(pipe, _Begun(time.monotonic()))
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


def _import(module: str) -> None:
    import_module(module)


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it is gone
        return ""


def _portable(error: Exception) -> _Raised:
    """An error as it can be sent, with its traceback as text."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - classes of other packages may not be restored
    except Exception:  # noqa: BLE001
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return _Raised(error, trace)


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
