"""How every command works through its cases: one that fails stops no other, and is listed in `errors.json`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from pe_nnunet.errors import ConfigurationError, OutputError, PEError
from pe_nnunet.errors.shown import shown, without
from pe_nnunet.files import atomic_json, locked
from pe_nnunet.processes import free_bytes, usable_processors, worker_pool

DISCLAIMER = "Research use only. Not a medical device; not for diagnosis or treatment decisions."
MAX_AUTOMATIC = 8
DIED = ("PE-EVAL-010", "a worker process died before the case was done", "for want of memory? give --workers 1")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class CaseFailure:
    """A case without a result, and why.

    Attributes:
        case_id: The case.
        code: A key of `pe_nnunet.errors.CODES`.
        message: What is wrong.
        hint: What to do. Control characters in all three are escaped.
    """

    case_id: str
    code: str
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("case_id", "message", "hint"):
            object.__setattr__(self, name, shown(getattr(self, name)))

    def without(self, names: Iterable[str]) -> CaseFailure:
        """The failure with names of folders and files hidden."""
        return replace(self, message=without(self.message, names), hint=without(self.hint, names))

    @classmethod
    def of(cls, case_id: str, error: Exception) -> CaseFailure:
        """From what was raised; anything but a `PEError` is an internal error with its type's name."""
        if isinstance(error, PEError):
            return cls(case_id, error.code, error.message, error.hint)
        return cls(case_id, "PE-ENV-006", f"{type(error).__name__}: {error}")

    def __str__(self) -> str:
        """One line: case, code, message, hint."""
        return f"{self.case_id}: {self.code}: {self.message}" + (f"; {self.hint}" if self.hint else "")


def run_cases(
    work: Callable[[Item], Result],
    items: Mapping[str, Item],
    workers: int | None = 1,
    *,
    in_order: bool = True,
    ends: tuple[type[Exception], ...] = (),
    died: tuple[str, str, str] = DIED,
    alone: str = "--workers 1",
    bar: str = "",
) -> Generator[tuple[str, Result | CaseFailure], None, None]:
    """Do the work of every case, one after another or in worker processes.

    When a worker dies, as one does that the system kills for want of memory, the cases that are left are done one at a
    time, so that the one that kills its worker has a name.

    Args:
        work: What is done for a case; what it raises becomes the failure of that case.
        items: By case id, in the order in which they are begun. With workers, they and `work` are pickled.
        workers: Processes; 1 for none beside this one, None for as many as are sensible.
        in_order: Give outcomes in the order of the cases, not as they are done.
        ends: Exceptions that end the run instead, as where nothing can be written.
        died: Code, message and hint of a case whose worker dies.
        alone: The option by which the command does without workers, for advice.
        bar: What a progress bar on a terminal says; none without.

    Raises:
        ConfigurationError: PE-CONV-032 if the system allows no worker processes.
    """
    attempt = partial(_attempt, work, ends)
    workers = min(sensible_workers(len(items)) if workers is None else workers, len(items))
    if workers > 1:
        outcomes = _in_workers(attempt, items, workers, in_order, died, alone)
    else:
        outcomes = ((case_id, attempt(case_id, item)) for case_id, item in items.items())
    with tqdm(total=len(items), desc=bar, unit="case", disable=None if bar else True) as shown, closing(outcomes):
        for outcome in outcomes:
            shown.update()
            yield outcome


def work_through(
    work: Callable[[Item], Result],
    items: Mapping[str, Item],
    workers: int | None = 1,
    *,
    ends: tuple[type[Exception], ...] = (),
    bar: str = "",
    say: Callable[[str, Result, str], None] | None = None,
    quiet: bool = False,
    hidden: Mapping[str, Iterable[str]] | None = None,
) -> tuple[dict[str, Result], list[CaseFailure]]:
    """`run_cases`, with the results parted from the failures.

    `say` is called with each case that worked, its result, and a text about the time that the rest will take; a case
    that fails is a line on stderr, unless `quiet`, and says none of the names that `hidden` has for it.

    Returns:
        The results by case id and the failures, both in the order of the cases.
    """
    results: dict[str, Result] = {}
    failures: list[CaseFailure] = []
    started = time.perf_counter()
    for done, (case_id, outcome) in enumerate(run_cases(work, items, workers, ends=ends, bar=bar), 1):
        if isinstance(outcome, CaseFailure):
            failures.append(outcome.without((hidden or {}).get(case_id, ())))
            if not quiet:
                tqdm.write(str(failures[-1]), file=sys.stderr)
            continue
        results[case_id] = outcome
        if say is not None:
            say(case_id, outcome, _time_left(time.perf_counter() - started, done, len(items)))
    return results, failures


def sensible_workers(cases: int, gib_each: int = 0) -> int:
    """Worker processes for a cohort: by processors and memory, and none under eight cases, as one takes 2 s to start.

    Args:
        cases: How many there are.
        gib_each: Memory that a worker needs; 0 where it does not matter.
    """
    free = free_bytes() if gib_each else None
    fitting = MAX_AUTOMATIC if free is None else (free >> 30) // gib_each
    return max(1, min(usable_processors(), fitting, cases // 4, MAX_AUTOMATIC))


@contextmanager
def step_bar(title: str, unit: str) -> Iterator[Callable[..., None]]:
    """A bar on a terminal for the steps of one case: a function of the steps done, of all, and of what they belong to.

    Where fewer are done than before, it begins anew.
    """
    with tqdm(desc=title, unit=unit, disable=None, leave=False) as bar:

        def show(done: int, steps: int, part: str = "") -> None:
            if done < bar.n:
                bar.reset()
            bar.total = steps
            bar.set_postfix_str(part, refresh=False)
            bar.update(done - bar.n)

        yield show


def write_errors(failures: Sequence[CaseFailure], folder: Path) -> Path:
    """Write `errors.json`; an empty list where every case worked, so that no older file can be mistaken for this run's.

    Returns:
        The file's path.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / "errors.json"
    atomic_json(path, [{"case": f.case_id, "code": f.code, "message": f.message, "hint": f.hint} for f in failures])
    return path


@contextmanager
def sole_writer(folder: Path, part: int | None = None) -> Iterator[None]:
    """Hold a folder of results, which other parts of the same run may hold too.

    Args:
        folder: Made if missing.
        part: The part that this process does; None for all, beside which there may be no other process.

    Raises:
        ConfigurationError: PE-OUT-014 if another process holds it.
        OutputError: PE-OUT-001 if the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError("PE-OUT-001", f"{folder} cannot be made: {error.strerror}", "check the path") from error
    with ExitStack() as locks:
        locks.enter_context(locked(folder / ".writing.lock", busy(folder), shared=part is not None))
        if part is not None:
            locks.enter_context(locked(folder / f".part_{part}.lock", busy(folder)))
        yield


def busy(folder: Path) -> ConfigurationError:
    """The error for a folder into which another process writes."""
    return ConfigurationError(
        "PE-OUT-014",
        f"another process writes results into {folder}",
        "wait until it is done, choose another -o, or share the scans by --num-parts",
    )


def _attempt(
    work: Callable[[Item], Result], ends: tuple[type[Exception], ...], case_id: str, item: Item
) -> Result | CaseFailure:
    try:
        return work(item)
    except ends:
        raise
    except Exception as error:  # noqa: BLE001 - one case must not stop the others; its error is listed
        return CaseFailure.of(case_id, error)


def _in_workers(
    attempt: Callable[[str, Item], Result | CaseFailure],
    items: Mapping[str, Item],
    workers: int,
    in_order: bool,
    died: tuple[str, str, str],
    alone: str,
) -> Generator[tuple[str, Result | CaseFailure], None, None]:
    left = dict(items)
    with worker_pool(workers, alone) as pool:
        try:
            case_of = {pool.submit(attempt, case_id, item): case_id for case_id, item in items.items()}
            for future in case_of if in_order else as_completed(case_of):
                outcome = future.result()
                del left[case_of[future]]
                yield case_of[future], outcome
        except BrokenProcessPool:
            pass  # goes on below, outside the broken pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    while left:
        with worker_pool(1, alone) as pool:
            while left:
                case_id = next(iter(left))
                item = left.pop(case_id)
                try:
                    yield case_id, pool.submit(attempt, case_id, item).result()
                except BrokenProcessPool:
                    yield case_id, CaseFailure(case_id, *died)
                    break


def _time_left(seconds: float, done: int, cases: int) -> str:
    """How long the rest will take, at the pace so far; nothing after the last case."""
    if done == cases:
        return ""
    left = seconds / done * (cases - done)
    return f", about {left / 60:.1f} min left" if left >= 60 else f", about {left:.0f} s left"
