"""One trial: a command is killed at a moment and run again; then all is as after a run that nobody stopped."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kill.commands import Command, fresh
from tests.kill.compare import contents, differences, left_behind, visible
from tests.kill.processes import Ended, Moment, environment, run


@dataclass(frozen=True)
class Unbroken:
    """What a run that nobody stopped is like.

    Attributes:
        ended: How it ended.
        contents: What it left, see `compare.contents`.
    """

    ended: Ended
    contents: Mapping[str, str]


def unbroken(command: Command, folder: Path, times: int = 2) -> Unbroken:
    """Run a command without a kill, so many times, and compare what was left.

    Raises:
        AssertionError: If it fails, or two of them left other things.
    """
    found = []
    for _ in range(times):
        fresh(folder, command.prepare)
        ended = run(command.arguments(folder), folder, environment(folder / "work"))
        require_done(ended, ())
        require_clean(folder)
        found.append(Unbroken(ended, contents(folder / "work")))
    if differing := differences(found[0].contents, found[-1].contents):
        raise AssertionError(f"two unbroken runs differ: {'; '.join(differing[:5])}")
    return found[-1]


def moments(count: int, ended: Ended, seed: str) -> list[Moment]:
    """Moments over the length of a run: every other one at a step in the file system."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    found = []
    for number in range(count):
        whom = draw.choice(("all", "first"))
        if number % 2 == 0 and ended.steps:
            found.append(Moment(step=draw.randint(1, ended.steps), whom=whom))
        else:
            found.append(Moment(seconds=draw.uniform(0, ended.seconds), whom=whom))
    return found


def killed(command: Command, folder: Path, moment: Moment, expected: Mapping[str, str]) -> bool:
    """Kill a command at a moment, and run it again.

    Returns:
        Whether it was still running at that moment.

    Raises:
        AssertionError: If anything is other than after an unbroken run.
    """
    fresh(folder, command.prepare)
    before, variables = contents(folder / "work"), environment(folder / "work")
    ended = run(command.arguments(folder), folder, variables, moment)
    require_no_traceback(ended)
    require_whole(folder, before, expected)
    if ended.code != 0:
        require_done(run(command.arguments(folder, again=True), folder, variables), command.done)
    require_same(folder, expected)
    return ended.code != 0


def require_whole(
    folder: Path, before: Mapping[str, str], expected: Mapping[str, str], apart: Sequence[str] = ()
) -> None:
    """What a killed command left under final names is what a whole run leaves.

    Temporary files do not count, and neither do those whose names are `apart`.
    """
    there = {n: digest for n, digest in visible(contents(folder / "work")).items() if Path(n).name not in apart}
    halves = [name for name, digest in there.items() if digest not in (expected.get(name), before.get(name))]
    if halves:
        raise AssertionError(f"left by the kill, and not what a whole run leaves: {'; '.join(sorted(halves)[:5])}")


def require_same(folder: Path, expected: Mapping[str, str]) -> None:
    """All is as after an unbroken run, and nothing temporary is left."""
    require_clean(folder)
    if differing := differences(expected, contents(folder / "work")):
        raise AssertionError(f"not as after an unbroken run: {'; '.join(differing[:5])}")


def require_clean(folder: Path) -> None:
    """Nothing temporary is left."""
    if left := left_behind(folder / "work"):
        raise AssertionError(f"left behind: {'; '.join(left[:5])}")


def require_done(ended: Ended, done: Sequence[str]) -> None:
    """It ended well, or says by one of these codes that it was done before."""
    require_no_traceback(ended)
    if ended.code != 0 and not any(code in ended.output for code in done):
        raise AssertionError(f"exit code {ended.code}: {ended.output[-1500:]}")


def require_no_traceback(ended: Ended) -> None:
    """No error was printed that is not one of ours."""
    if "Traceback" in ended.output or "PE-ENV-006" in ended.output:
        raise AssertionError(f"a traceback: {ended.output[-1500:]}")
