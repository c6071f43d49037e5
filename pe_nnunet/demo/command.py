"""Run a command as a user would type it: its output goes to a log, what matters of it to the screen."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
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
        reads: Files and folders from elsewhere that it works on.
        watch: What of its output is shown.
        environment: Variables that it needs beside the chain's own.
    """

    title: str
    command: tuple[str, ...]
    makes: tuple[Path, ...]
    watch: Watcher | None = None
    environment: Mapping[str, str] | None = None
    reads: tuple[Path, ...] = ()

    def state(self) -> dict[str, str]:
        """Hashes of what it reads and makes; empty where something is missing."""
        return {str(path): tree_sha256(path) for path in (*self.reads, *self.makes)}


class StepRunner:
    """Runs steps in order and leaves out those that an earlier run has done with the same commands on the same files.

    Args:
        folder: For the logs and the record of what is done.
        environment: Variables of every step.
        count: How many steps there are, for the headings.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], count: int) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.count = count
        self.number = 0
        self.history: list[str] = []
        self.seconds: dict[str, float] = {}
        self.redone = False  # whether a step was run, so that those that follow are out of date

    def run(self, step: Step) -> None:
        """Run a step, unless it is done already.

        Raises:
            ConfigurationError: PE-DEMO-001 if the command fails; the end of its output is in the message's log.
        """
        self.number += 1
        self.history.append(json.dumps([step.command, dict(step.environment or {})]))
        record = self.folder / f"{self.number}.json"
        head = f"[{self.number}/{self.count}] {step.title}"
        known = _read(record)
        same = known is not None and known["history"] == self.history and all(path.exists() for path in step.makes)
        changed = [] if known is None or not same or self.redone else _differences(known.get("state"), step.state())
        if changed:
            print(f"{head}: again, as {changed[0]} is not what it was", flush=True)
        if known is not None and same and not self.redone and not changed:
            self.seconds[step.title] = known["seconds"]
            print(f"{head}: there already ({known['seconds']:.0f} s when it was made)", flush=True)
            return
        shown = " ".join(f"{key}={shlex.quote(value)}" for key, value in (step.environment or {}).items())
        print(f"{head}\n    $ {shown + ' ' if shown else ''}{shlex.join(step.command)}", flush=True)
        record.unlink(missing_ok=True)
        self.redone = True
        started = time.perf_counter()
        log = self.folder / f"{self.number}.log"
        code, memory_gb, processor = self._stream(step, log)
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
        record.write_text(
            json.dumps({"history": self.history, "seconds": seconds, "state": step.state()}), encoding="utf-8"
        )
        self.seconds[step.title] = seconds
        used = f", {processor:.0f} s of processor time, at most {memory_gb:.1f} GB a process" if memory_gb else ""
        print(f"    {seconds:.0f} s{used}", flush=True)

    def _stream(self, step: Step, log: Path) -> tuple[int, float, float]:
        environment = os.environ | self.environment | dict(step.environment or {})
        program = Path(sys.executable).parent / step.command[0]  # of this environment, whatever PATH says
        command = [str(program) if program.exists() else step.command[0], *step.command[1:]]
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
            ) as process,
        ):
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                text = step.watch(line.rstrip()) if step.watch else None
                if text:
                    print(f"    {text}", flush=True)
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


def everything(line: str) -> str | None:
    """Show every line."""
    return line or None


def matching(*words: str) -> Watcher:
    """Show the lines that hold one of the words.

    Example:
        >>> matching("done")("all done"), matching("done")("busy")
        ('all done', None)
    """

    def watch(line: str) -> str | None:
        return line if any(word in line for word in words) else None

    return watch


class TrainingWatcher:
    """One line an epoch, with the time that is left, from nnU-Net's log.

    Args:
        epochs: How many there will be.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.epoch = 0
        self.facts: dict[str, str] = {}
        self.seconds: list[float] = []

    def __call__(self, line: str) -> str | None:
        """What to show of a line."""
        text = line.partition(": ")[2] if line[:2] == "20" else line  # without nnU-Net's time stamp
        if text.startswith(("predicting ", "Mean Validation Dice")):
            return text
        if not text.startswith("Epoch time:"):
            for key in ("Epoch", "train_loss", "val_loss", "Pseudo dice"):
                if text.startswith(key + " "):
                    self.facts[key] = text.removeprefix(key).strip()
            return None
        self.seconds.append(float(text.split()[2]))
        left = (self.epochs - len(self.seconds)) * sum(self.seconds[-5:]) / len(self.seconds[-5:])
        return (
            f"epoch {int(self.facts.get('Epoch', 0)) + 1}/{self.epochs}: loss {self.facts.get('train_loss', '-')}, "
            f"validation {self.facts.get('val_loss', '-')}, patch Dice {_number(self.facts.get('Pseudo dice', '-'))}, "
            f"{self.seconds[-1]:.1f} s, about {left / 60:.1f} min left"
        )


def _number(text: str) -> str:
    """The number in nnU-Net's `[np.float64(0.5)]`."""
    return text.strip("[]").removeprefix("np.float64(").removeprefix("np.float32(").rstrip(")")
