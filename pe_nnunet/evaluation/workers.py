"""Works through the cases of a cohort one after another, or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from pe_nnunet.cases import CaseFailure
from pe_nnunet.processes import usable_processors, worker_pool

MAX_AUTOMATIC = 8


class Job(Protocol):
    """What can be done for one case."""

    @property
    def case_id(self) -> str:
        """The case."""


AnyJob = TypeVar("AnyJob", bound=Job)
Outcome = TypeVar("Outcome")


def sensible_workers(cases: int) -> int:
    """Worker processes for a cohort: by processors, and none under eight cases, as a worker takes a second to start."""
    return max(1, min(usable_processors(), cases // 4, MAX_AUTOMATIC))


def work_through(
    work: Callable[[AnyJob], Outcome | CaseFailure], jobs: Sequence[AnyJob], workers: int | None
) -> Iterator[Outcome | CaseFailure]:
    """Do all jobs; outcomes come in their order.

    Args:
        work: What is done for a case, which raises nothing: a case that fails must not stop the rest.
        jobs: One a case.
        workers: Processes; 1 for none beside this one, None for as many as are sensible. A worker that dies fails the
            cases that are not done.

    Raises:
        ConfigurationError: PE-CONV-032 if the system allows no worker processes.
    """
    workers = sensible_workers(len(jobs)) if workers is None else workers
    if workers <= 1 or len(jobs) < 2:
        yield from map(work, jobs)
        return
    with worker_pool(min(workers, len(jobs)), "--workers 1") as pool:
        futures = [pool.submit(work, job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:
                hint = "for want of memory? give --workers 1"
                yield CaseFailure(job.case_id, "PE-EVAL-010", "a worker process died before the case was done", hint)
