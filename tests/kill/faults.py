"""What goes wrong around a command: no room, nothing to write to, no home, no shared memory, a second one beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.kill.commands import Command, fresh
from tests.kill.compare import contents
from tests.kill.processes import Ended, environment, finish, run, start
from tests.kill.trials import require_clean, require_done, require_no_traceback, require_same, require_whole

Fault = Callable[[Command, Path, Mapping[str, str]], str]
NOT_RUN = "not run: "
OF_THE_RUN = ("errors.json", "report.html", "summary.csv")  # they rightly tell of cases that had no room


def full_disk(command: Command, folder: Path, expected: Mapping[str, str]) -> str:
    """The disk fills up half-way through what is written; with room again, the command goes on."""
    fresh(folder, command.prepare)
    work = folder / "work"
    before, there = contents(work), _bytes(work)
    fresh(folder, command.prepare)
    run(command.arguments(folder), folder, environment(work))
    grown = _bytes(work) - there
    said = []
    for share in (0.1, 0.5, 0.9):
        with _disk(work, there + int(share * grown)) as resize:
            if resize is None:
                return f"{NOT_RUN}mounting a small disk takes root on Linux"
            command.prepare(folder / "inputs", work)
            (work / "tmp").mkdir()
            ended = run(command.arguments(folder), folder, environment(work))
            require_no_traceback(ended)
            require_whole(folder, before, expected, OF_THE_RUN)
            if ended.code != 0:
                _require_coded(ended)
                resize()
                require_done(run(command.arguments(folder, again=True), folder, environment(work)), command.done)
            require_same(folder, expected)
            said.append("done" if ended.code == 0 else _code(ended))
    return ", ".join(said)


def read_only(command: Command, folder: Path, expected: Mapping[str, str]) -> str:
    """Nothing can be written where the results go."""
    fresh(folder, command.prepare)
    work, before = folder / "work", contents(folder / "work")
    with _mounted(work, "--bind", str(work)) as possible:
        if not possible or _mount("-o", "remount,ro,bind", str(work)) != 0:
            return f"{NOT_RUN}a read-only mount takes root on Linux"
        with_room = {**environment(work), "TMPDIR": str(folder / "inputs")}
        ended = run(command.arguments(folder), folder, with_room)
        require_no_traceback(ended)
        _require_coded(ended)
    if contents(work) != before:
        raise AssertionError("something was written nevertheless")
    require_clean(folder)
    return _code(ended)


def no_home(command: Command, folder: Path, expected: Mapping[str, str]) -> str:
    """The home folder does not exist, and can not be made."""
    fresh(folder, command.prepare)
    variables = environment(folder / "work", HOME="/proc/none")
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "YOLO_CONFIG_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        variables.pop(name, None)
    require_done(run(command.arguments(folder), folder, variables), ())
    require_same(folder, expected)
    return "done"


def no_shared_memory(command: Command, folder: Path, expected: Mapping[str, str]) -> str:
    """Shared memory cannot be written."""
    private = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        return f"{NOT_RUN}hiding /dev/shm takes root on Linux"
    fresh(folder, command.prepare)
    ended = run(command.arguments(folder), folder, environment(folder / "work"), before=private)
    require_no_traceback(ended)
    if ended.code != 0:
        _require_coded(ended)
        return _code(ended)
    require_same(folder, expected)
    return "done"


def two_at_once(command: Command, folder: Path, expected: Mapping[str, str]) -> str:
    """The same command twice at the same time: one may be refused, and the result is that of one."""
    fresh(folder, command.prepare)
    both = [start(command.arguments(folder), folder, environment(folder / "work"), log=f"{k}.txt") for k in range(2)]
    ended = [finish(process, folder, log=f"{k}.txt") for k, process in enumerate(both)]
    for one in ended:
        require_no_traceback(one)
        if one.code != 0:
            _require_coded(one)
    if all(one.code != 0 for one in ended):
        raise AssertionError(f"neither was done: {ended[0].output[-500:]} {ended[1].output[-500:]}")
    require_same(folder, expected)
    return ", ".join("done" if one.code == 0 else _code(one) for one in ended)


FAULTS: dict[str, Fault] = {
    "full disk": full_disk,
    "read-only": read_only,
    "no home": no_home,
    "no /dev/shm": no_shared_memory,
    "two at once": two_at_once,
}


def _code(ended: Ended) -> str:
    words = [word.strip("[]():,.;") for word in ended.output.split()]
    return next((word for word in reversed(words) if word.startswith("PE-")), "no code")


def _require_coded(ended: Ended) -> None:
    if ended.code == 0:
        raise AssertionError("it says that it is done")
    if _code(ended) == "no code":
        raise AssertionError(f"no coded error: {ended.output[-1000:]}")


def _bytes(folder: Path) -> int:
    """What files take on a disk of pages of 4 KiB."""
    return sum(4096 + -(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*"))


def _mount(*arguments: str) -> int:
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        return 1
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode


@contextmanager
def _mounted(folder: Path, *how: str) -> Iterator[bool]:
    mounted = _mount(*how, str(folder)) == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[Callable[[], object] | None]:
    """An empty disk of so many bytes in the place of a folder, and what makes it large."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "none") as possible:
        yield (lambda: _mount("-o", "remount,size=2g", str(folder))) if possible else None
