"""Run commands as a user would type them: their output goes to logs, what matters of it to the screen."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.shown import shown_lines
from pe_nnunet.files import tree_sha256
from pe_nnunet.files.json_reader import MALFORMED, read_object

Watcher = Callable[[str], "str | None"]  # a line of output -> what to show of it


@dataclass(frozen=True)
class Step:
    """One command of the chain.

    Attributes:
        title: For people.
        command: Program and arguments.
        makes: Files and folders that are there when it is done.
        watch: What of its output is shown.
        environment: Variables that it needs beside the chain's own.
        reads: Files and folders from elsewhere that it works on.
        go_on: Arguments with which it takes up what it was stopped in; without any it begins anew.
        expected_s: How long it is thought to take; where it goes on, what is left.
    """

    title: str
    command: tuple[str, ...]
    makes: tuple[Path, ...]
    watch: Watcher | None = None
    environment: Mapping[str, str] | None = None
    reads: tuple[Path, ...] = ()
    go_on: tuple[str, ...] = ()
    expected_s: float = 0.0

    def state(self) -> dict[str, str]:
        """Hashes of what it reads and makes; empty where something is missing."""
        return {str(path): tree_sha256(path) for path in (*self.reads, *self.makes)}

    def read(self) -> dict[str, str]:
        """Hashes of what it reads."""
        return {str(path): tree_sha256(path) for path in self.reads}


@dataclass(frozen=True)
class _Due:
    """A step that has to be run.

    Attributes:
        step: The step.
        number: In the chain, from 1.
        history: All commands up to it.
        command: With what takes up where it was stopped.
    """

    step: Step
    number: int
    history: tuple[str, ...]
    command: tuple[str, ...]


class StepRunner:
    """Runs steps in order and leaves out those that an earlier run has done with the same commands on the same files.

    Args:
        folder: For the logs and the records of what was begun and what is done.
        environment: Variables of every step.
        count: How many steps there are, for the headings.
        inherited: File descriptors that commands keep open, so that a lock lasts as long as they do.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], count: int, inherited: tuple[int, ...] = ()
    ) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.count = count
        self.inherited = inherited
        self.number = 0
        self.history: list[str] = []
        self.seconds: dict[str, float] = {}
        self.redone = False  # whether a step was run, so that those that follow are out of date

    def run(self, *steps: Step) -> None:
        """Run steps at the same time, except those that are done already.

        Args:
            steps: None of them reads what another makes.

        Raises:
            ConfigurationError: PE-DEMO-001 if a command fails; the end of its output is in the message's log.
        """
        due = [one for step in steps if (one := self._due(step)) is not None]
        if not due:
            return
        self.redone = True
        with ThreadPoolExecutor(len(due)) as pool:
            running = [pool.submit(self._run, one, alone=len(due) == 1) for one in due]
        for done in running:
            done.result()

    def _due(self, step: Step) -> _Due | None:
        """What to run of a step; None if it is done."""
        self.number += 1
        self.history.append(json.dumps([step.command, dict(step.environment or {})]))
        head = f"[{self.number}/{self.count}] {step.title}"
        known = _read(self._record("json"))
        same = known is not None and known["history"] == self.history and all(path.exists() for path in step.makes)
        changed = [] if known is None or not same or self.redone else _differences(known.get("state"), step.state())
        if changed:
            print(f"{head}: again, as {changed[0]} is not what it was", flush=True)
        if known is not None and same and not self.redone and not changed:
            self.seconds[step.title] = known["seconds"]
            print(f"{head}: there already ({known['seconds']:.0f} s when it was made)", flush=True)
            return None
        begun = _read(self._record("begun.json"))
        goes_on = bool(
            step.go_on
            and not changed
            and not self.redone
            and known is None
            and begun is not None
            and begun["history"] == self.history
            and begun.get("state") == step.read()
        )
        command = (*step.command, *(step.go_on if goes_on else ()))
        shown = " ".join(f"{key}={shlex.quote(value)}" for key, value in (step.environment or {}).items())
        stopped = ", from where it was stopped" if goes_on else ""
        print(f"{head}{stopped}\n    $ {shown + ' ' if shown else ''}{shlex.join(command)}", flush=True)
        self._record("json").unlink(missing_ok=True)
        state = {"history": self.history, "seconds": 0, "state": step.read()}
        self._record("begun.json").write_text(json.dumps(state), encoding="utf-8")
        return _Due(step, self.number, tuple(self.history), command)

    def _record(self, ending: str) -> Path:
        return self.folder / f"{self.number}.{ending}"

    def _run(self, due: _Due, *, alone: bool) -> None:
        step, prefix = due.step, "    " if alone else f"    [{due.number}] "
        started = time.perf_counter()
        log = self.folder / f"{due.number}.log"
        code, memory_gb, processor = self._stream(due, log, prefix)
        seconds = time.perf_counter() - started
        if code:
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            print("\n".join(f"    | {shown_lines(line)}" for line in tail), file=sys.stderr, flush=True)
            raise ConfigurationError(
                "PE-DEMO-001", f"{step.command[0]} ended with exit code {code}", f"its output: {log}"
            )
        missing = [str(path) for path in step.makes if not path.exists()]
        if missing:
            raise ConfigurationError(
                "PE-DEMO-001", f"{step.command[0]} did not write {missing[0]}", f"its output: {log}"
            )
        record = self.folder / f"{due.number}.json"
        record.write_text(
            json.dumps({"history": due.history, "seconds": seconds, "state": step.state()}), encoding="utf-8"
        )
        self.seconds[step.title] = seconds
        used = f", {processor:.0f} s of processor time, at most {memory_gb:.1f} GB a process" if memory_gb else ""
        print(f"{prefix}{seconds:.0f} s{used}", flush=True)

    def _stream(self, due: _Due, log: Path, prefix: str) -> tuple[int, float, float]:
        step = due.step
        environment = os.environ | self.environment | dict(step.environment or {})
        program = Path(sys.executable).parent / step.command[0]  # of this environment, whatever PATH says
        command = [str(program) if program.exists() else step.command[0], *due.command[1:]]
        with (
            log.open("w", encoding="utf-8") as file,
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                pass_fds=self.inherited,
            ) as process,
        ):
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                text = step.watch(line.rstrip()) if step.watch else None
                if text:
                    print(f"{prefix}{text}", flush=True)
            return _wait(process)


def _differences(known: object, now: Mapping[str, str]) -> list[str]:
    """Files and folders that are not as they were, or of which that is not known."""
    before = known if isinstance(known, dict) else {}
    return [path for path, sha256 in now.items() if before.get(path) != sha256]


def _wait(process: subprocess.Popen[str]) -> tuple[int, float, float]:
    """Exit code, the largest memory of the process or one of its children in GB, and processor time of all in seconds.

    The last two are 0 where they are not told.
    """
    if not hasattr(os, "wait4"):
        return process.wait(), 0.0, 0.0
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    scale = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return process.returncode, usage.ru_maxrss * scale / 1e9, usage.ru_utime + usage.ru_stime


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known = read_object(path)
    except MALFORMED:
        return None
    return known if {"history", "seconds"} <= set(known) else None
