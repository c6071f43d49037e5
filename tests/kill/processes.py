"""Start a command in a process group of its own, and kill it at a step in the file system or after some seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOOK = Path(__file__).parent / "hook"
LONGEST_S = 900.0
OURS = "from pe_nnunet.cli import main; raise SystemExit(main())"
STOCK = (
    "import sys; from importlib.metadata import entry_points; sys.argv = sys.argv[1:]; "
    "(entry,) = entry_points(group='console_scripts', name=sys.argv[0]); sys.exit(entry.load()())"
)


@dataclass(frozen=True)
class Moment:
    """When a command is killed.

    Attributes:
        step: Before which step in the file system, from 1 on; 0 for a moment in time.
        seconds: After how many.
        whom: `all` of its processes, or its `first` alone, whose workers must notice.
    """

    step: int = 0
    seconds: float = 0.0
    whom: str = "all"

    def __str__(self) -> str:
        return f"{f'step {self.step}' if self.step else f'{self.seconds:.2f} s'}, {self.whom}"


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; negative for a signal.
        output: All that it printed.
        seconds: What it took.
        steps: In the file system.
    """

    code: int
    output: str
    seconds: float
    steps: int


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """The variables of a command whose files all lie in one folder, temporary ones included."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("nnUNet", "PE_NNUNET", "PYTHON", "KILL_"))}
    for name in ("raw", "preprocessed", "results"):
        kept[f"nnUNet_{name}"] = str(folder / f"nnUNet_{name}")
    kept |= {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1", "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp")}
    return kept | {"PYTHONPATH": f"{HOOK}{os.pathsep}{ROOT}"} | variables


def start(
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    moment: Moment | None = None,
    *,
    before: Sequence[str] = (),
    log: str = "output.txt",
) -> subprocess.Popen[str]:
    """Start a command.

    Args:
        command: One of ours, or one of nnU-Net's by its name, with its arguments.
        folder: Holds the folder `work`, in which steps count; its output goes there, too.
        variables: Of the environment.
        moment: When it dies, if that is at a step.
        before: A program that starts the command.
        log: The file of its output.
    """
    counter = folder / "steps"
    counter.unlink(missing_ok=True)
    settings = {"KILL_COUNTER": str(counter), "KILL_BELOW": str(folder / "work")}
    if moment is not None and moment.step:
        settings |= {"KILL_AT": str(moment.step), "KILL_WHOM": moment.whom}
    stock = command[0].startswith("nnUNetv2")
    with (folder / log).open("w") as output:
        return subprocess.Popen(
            [*before, sys.executable, "-P", "-c", STOCK if stock else OURS, *command],
            cwd=folder,
            env={**variables, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )


def finish(
    process: subprocess.Popen[str], folder: Path, moment: Moment | None = None, *, log: str = "output.txt"
) -> Ended:
    """Wait for the end of a command, or kill it; no process of it is left.

    Raises:
        AssertionError: If it takes too long, or its workers do not notice that it has died.
    """
    begun = time.monotonic()
    in_time = moment is not None and not moment.step
    try:
        process.wait(moment.seconds if moment is not None and in_time else LONGEST_S)
    except subprocess.TimeoutExpired:
        (os.kill if in_time and moment is not None and moment.whom == "first" else os.killpg)(
            process.pid, signal.SIGKILL
        )
        process.wait()
        if not in_time:
            raise AssertionError(f"it was not done after {LONGEST_S:g} s") from None
    seconds = time.monotonic() - begun
    _end_group(process.pid)
    counter = folder / "steps"
    steps = counter.stat().st_size if counter.exists() else 0
    return Ended(process.returncode, (folder / log).read_text(errors="replace"), seconds, steps)


def run(
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    moment: Moment | None = None,
    *,
    before: Sequence[str] = (),
) -> Ended:
    """`start` and `finish`."""
    return finish(start(command, folder, variables, moment, before=before), folder, moment)


def _end_group(group: int, patience_s: float = 5.0) -> None:
    """Wait for the workers of a process that has died, which should notice; after a while they are killed, and said."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if not _alive(group):
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError(f"processes were left {patience_s} s after the first had died")


def _alive(group: int) -> bool:
    """Whether a process of the group is there that is not merely waiting to be reaped."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False
