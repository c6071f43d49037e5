"""How every command works through its cases: one that fails stops no other, and is listed in `errors.json`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from pe_nnunet.cases.apart import Outcomes, read_apart, work_apart
from pe_nnunet.cases.duration import duration, epochs_left, time_left
from pe_nnunet.cases.engine import CaseJob, Engine
from pe_nnunet.cases.outcome import CaseFailure, CaseLimits
from pe_nnunet.cases.output_folder import ERRORS
from pe_nnunet.cases.step_progress import step_bar
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.files import atomic_json
from pe_nnunet.files.locks import locked
from pe_nnunet.processes import free_bytes, usable_processors

__all__ = [
    "DISCLAIMER",
    "CaseFailure",
    "CaseLimits",
    "busy",
    "duration",
    "epochs_left",
    "run_cases",
    "sensible_workers",
    "sole_writer",
    "step_bar",
    "time_left",
    "work_through",
    "write_errors",
]

DISCLAIMER = "Research use only. Not a medical device; not for diagnosis or treatment decisions."
MAX_AUTOMATIC = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_cases(
    work: Callable[[Any], Result],
    items: Mapping[str, Any],
    workers: int | None = 1,
    *,
    read: Callable[[Any], Any] | None = None,
    limits: CaseLimits | None = None,
    in_order: bool = True,
    ends: tuple[type[Exception], ...] = (),
    died: str = "PE-IN-008",
    bar: str = "",
    engine: Engine | None = None,
) -> Generator[tuple[str, Result | CaseFailure], None, None]:
    """Do the work of every case: here one after another, or in processes beside this one.

    With limits, what can crash, hang or take all memory is done in a process of its own, and costs its case alone: the
    reading, where `read` says what that is, else all work. The next case is then read while one is worked on.

    Args:
        work: What is done for a case; what it raises becomes the failure of that case.
        items: By case id, in the order in which they are begun. For other processes, they and `work` are pickled.
        workers: Processes that work; 1 for this one, or with limits for one beside it; None for as many as are
            sensible.
        read: Makes of an item what `work` takes. For another process it is pickled, and so is what it returns.
        limits: What a case may take; None to do without processes of its own.
        in_order: Give outcomes in the order of the cases, not as they are done.
        ends: Exceptions that end the run instead, as where nothing can be written.
        died: Code of a case whose process dies.
        bar: What a progress bar on a terminal says; none without.
        engine: What hands out the cases to other workers, as they are done; `work` and `read` are pickled, and each
            worker does with a case what a process here does. Then `workers` and `in_order` have no meaning.

    Raises:
        ConfigurationError: PE-CONV-032 if the system allows no further process.
    """
    attempt = partial(_attempt, work, ends)
    apart_s = None if limits is None else limits.apart_s
    workers = min(sensible_workers(len(items)) if workers is None else workers, len(items))
    if engine is not None:
        outcomes = engine.outcomes(CaseJob(work=work, read=read, limits=limits, ends=ends, died=died, bar=bar), items)
    elif read is not None:
        reading = partial(_attempt, read, ends)
        here = ((case_id, reading(case_id, item)) for case_id, item in items.items())
        outcomes = _worked(attempt, here if limits is None else read_apart(reading, items, died, apart_s))
    elif workers > 1 or (limits is not None and items):
        outcomes = work_apart(attempt, items, workers, in_order, died, apart_s)
    else:
        outcomes = ((case_id, attempt(case_id, item)) for case_id, item in items.items())
    with tqdm(total=len(items), desc=bar, unit="case", disable=None if bar else True) as shown, closing(outcomes):
        failed = Counter[str]()
        for case_id, outcome in outcomes:
            if isinstance(outcome, CaseFailure):
                failed[outcome.code] += 1
                shown.set_postfix(failed, refresh=False)
            shown.update()
            yield case_id, outcome


def work_through(
    work: Callable[[Any], Result],
    items: Mapping[str, Any],
    workers: int | None = 1,
    *,
    read: Callable[[Any], Any] | None = None,
    limits: CaseLimits | None = None,
    ends: tuple[type[Exception], ...] = (),
    died: str = "PE-IN-008",
    bar: str = "",
    say: Callable[[str, Result, str], None] | None = None,
    quiet: bool = False,
    hidden: Mapping[str, Iterable[str]] | None = None,
    engine: Engine | None = None,
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
    outcomes = run_cases(work, items, workers, read=read, limits=limits, ends=ends, died=died, bar=bar, engine=engine)
    for done, (case_id, outcome) in enumerate(outcomes, 1):
        if isinstance(outcome, CaseFailure):
            failures.append(outcome.without((hidden or {}).get(case_id, ())))
            if not quiet:
                tqdm.write(str(failures[-1]), file=sys.stderr)
            continue
        results[case_id] = outcome
        if say is not None:
            each = (time.perf_counter() - started) / done
            say(case_id, outcome, time_left(each * (len(items) - done)))
    if engine is not None:  # as they were done
        place = {case_id: k for k, case_id in enumerate(items)}
        results = dict(sorted(results.items(), key=lambda found: place[found[0]]))
        failures.sort(key=lambda failure: place[failure.case_id])
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


def write_errors(failures: Sequence[CaseFailure], folder: Path) -> Path:
    """Write `errors.json`; an empty list where every case worked, so that no older file can be mistaken for this run's.

    Returns:
        The file's path.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / ERRORS
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


def _worked(attempt: Callable[[str, Any], Any], read: Outcomes) -> Outcomes:
    """What comes of cases after they were read."""
    with closing(read):
        for case_id, found in read:
            yield case_id, found if isinstance(found, CaseFailure) else attempt(case_id, found)
