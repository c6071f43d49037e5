"""How far the work on one case is: a bar on a terminal, lines elsewhere, and how long the rest will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from pe_nnunet.cases.duration import time_left
from pe_nnunet.cases.outcome import took_too_long
from pe_nnunet.errors.shown import shown

SECONDS_BETWEEN_LINES = 30.0
BAR = "{desc} {percentage:3.0f}%{postfix} |{bar}|"
TIMED_CALLS = 2  # after which the time of all steps is foreseen

Show = Callable[..., None]
"""Of the steps done, of all steps, of what they belong to, and of the share of the time, if steps differ in theirs."""


@contextmanager
def step_bar(
    title: str, unit: str, timeout_s: float | None = None, foreseen: Callable[[float], None] | None = None
) -> Iterator[Show]:
    """Show the steps of one case: on a terminal by a bar, elsewhere by a line on stderr every 30 seconds.

    Where the share of the time falls, other steps begin, and their time is counted anew.

    Args:
        title: Of the case.
        unit: What a step is, in the singular.
        timeout_s: After so many seconds PE-IN-007 is raised, which ends the case between two steps.
        foreseen: Called once, when two batches of steps were timed, with the seconds that all steps will take.
    """
    with tqdm(desc=shown(title), total=1.0, disable=None, leave=False, bar_format=BAR) as bar:
        yield _Steps(title, unit, timeout_s, foreseen, bar).show


class _Steps:
    def __init__(
        self, title: str, unit: str, timeout_s: float | None, foreseen: Callable[[float], None] | None, bar: tqdm[None]
    ) -> None:
        self._title, self._unit, self._timeout_s, self._foreseen, self._bar = title, unit, timeout_s, foreseen, bar
        self._began = self._said = self._first = time.monotonic()
        self._share, self._calls = 0.0, 0

    def show(self, done: int, steps: int, part: str = "", share: float | None = None) -> None:
        """So many steps are done; called with 0 before the first."""
        now, share = time.monotonic(), done / max(steps, 1) if share is None else share
        if share < self._share or done == 0:
            self._first, self._calls = now, 0
        self._share = share
        self._calls += done > 0
        said = f"{done}/{steps} {self._unit}s" + time_left((now - self._first) / share * (1 - share) if share else 0.0)
        said += f", {part}" if part else ""
        if not self._bar.disable:
            self._bar.set_postfix_str(said, refresh=done == 0)
            self._bar.update(share - self._bar.n)
        elif done and now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            print(f"{shown(self._title)}: {said}", file=sys.stderr, flush=True)
        if self._foreseen is not None and self._calls == TIMED_CALLS:
            self._foreseen((now - self._first) / share)
            self._foreseen = None
        if self._timeout_s and now > self._began + self._timeout_s:
            raise took_too_long(self._timeout_s)
