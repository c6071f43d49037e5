"""A process beside this one that does one job at a time and may be lost: by a crash, a time limit or want of memory.

Libraries that decode files are written in C and C++: a damaged file can make them abort, loop or take all memory, which
no `except` catches. In a process of its own that costs the job, and what this process holds, as loaded models, is kept.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pe_nnunet.processes import no_workers
from pe_nnunet.processes.case_worker import Begun, Raised, receive, serve

GRACE_S = 2.0  # between the request to end, after which temporary files are removed, and the kill


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

    Args:
        once: Whether it is for the cases of one run, and ends with the reading of the last of them.

    Raises:
        ConfigurationError: PE-CONV-032 if the system allows no further process.
    """

    def __init__(self, *, once: bool = False) -> None:
        self.once = once
        # spawned, not forked: ITK's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        try:
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=serve, args=(other,), daemon=True)
            self._process.start()
        except OSError as error:
            raise no_workers(error, "allow more processes (ulimit -u), or end some") from error
        other.close()
        self._timeout_s: float | None = None
        self._begun_at: float | None = None
        self._preparing = False
        self._answers: list[Any] = []  # of the job, where one was received in looking for its beginning

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
        try:
            self._pipe.send_bytes(pickle.dumps((_folder(), threads, sys.path)))
            self._pipe.send_bytes(message)
        except OSError:  # it has died, or cannot be reached and would wait for ever; `result` says so
            self.kill()

    def result(self) -> Any:
        """Wait for what the job returns; `Lost` if it was lost with its process.

        Raises:
            Exception: What the job raised.
        """
        while True:
            try:
                if not self._answers and not self._pipe.poll(self.seconds_left()):
                    return self._give_up()
                found = self._answers.pop() if self._answers else receive(self._pipe)
            except (EOFError, OSError, MemoryError) as error:
                return self._lost(error)
            if isinstance(found, Raised):
                raise found.error from RuntimeError(found.trace)
            if not isinstance(found, Begun):
                return found
            self._begun_at = found.at

    def begun(self) -> bool:
        """Take the message that a job has begun, if that is what is there; else its result is there, or its end."""
        if self._begun_at is not None or self._answers:
            return False
        try:
            found = receive(self._pipe)
        except (EOFError, OSError, MemoryError):
            self.kill()
            return False
        if isinstance(found, Begun):
            self._begun_at = found.at
            return True
        self._answers.append(found)  # an error: of a job that cannot even be read
        return False

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


def start_ahead(module: str, *, once: bool = False) -> None:
    """Start a process for jobs to come, while this one has other work, as loading models.

    Args:
        module: Where the jobs' functions are.
        once: See `CaseProcess`.
    """
    if not _idle:
        _idle.append(CaseProcess(once=once))
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
        if lost := [process for process in busy if process.pipe.closed]:  # before its job began
            return lost[0]
        limits = [left for process in busy if (left := process.seconds_left()) is not None]
        ready = wait([process.pipe for process in busy], min(limits, default=None))
        for process in busy:
            if process.pipe in ready and not process.begun():
                return process
            if process.seconds_left() == 0.0:
                return process


def _import(module: str) -> None:
    import_module(module)


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it is gone
        return ""
