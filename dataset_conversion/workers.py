"""Runs the cases of a cohort, one after another or in worker processes, and survives a worker that dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool

from pe_nnunet.dataset_conversion.case import CaseJob, CaseOutcome, convert_case
from pe_nnunet.dataset_conversion.sources import CaseError
from pe_nnunet.processes import free_bytes, usable_processors, worker_pool

# A scan of 512x512x500 with two masks was measured to take 2.1 GiB while it is converted; the rest is for larger ones.
GIB_PER_WORKER = 3
GIB_PER_WORKER_BY_CONTRAST = 6  # 3.1 GiB for one of 500x512x512 of which the crop is 360x240x384
MAX_AUTOMATIC = 8


def sensible_processes(cases: int, gib_per_worker: int = GIB_PER_WORKER) -> int:
    """Number of worker processes for a cohort: by processors, free memory and cases; a worker takes 2 s to start."""
    return max(1, min(usable_processors(), _free_gib() // gib_per_worker, cases // 4, MAX_AUTOMATIC))


def run_cases(jobs: Sequence[CaseJob], num_processes: int) -> Iterator[CaseOutcome]:
    """Convert cases; outcomes come as they are done.

    With one process the work is done in this one. When a worker dies, as one does that the system kills for want of
    memory, the cases that are left are converted one at a time, so that the one that kills its worker has a name.

    Args:
        jobs: The cases.
        num_processes: Worker processes.

    Raises:
        OutputError: If the dataset cannot be written.
        ConfigurationError: PE-CONV-032 if the system allows no worker processes.
    """
    if num_processes == 1:
        yield from map(convert_case, jobs)
        return
    left = {job.source.case_id: job for job in jobs}
    with worker_pool(min(num_processes, len(jobs))) as pool:
        try:
            for future in as_completed([pool.submit(convert_case, job) for job in jobs]):
                outcome = future.result()
                del left[outcome.case]
                yield outcome
        except BrokenProcessPool:
            pass  # goes on below, outside the broken pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    yield from _one_at_a_time(list(left.values()))


def _one_at_a_time(jobs: Sequence[CaseJob]) -> Iterator[CaseOutcome]:
    queue = list(jobs)
    while queue:
        with worker_pool(1) as pool:
            while queue:
                job = queue.pop(0)
                try:
                    yield pool.submit(convert_case, job).result()
                except BrokenProcessPool:
                    yield CaseOutcome(job.source.case_id, error=_died(job.source.case_id))
                    break


def _died(case: str) -> CaseError:
    return CaseError(
        case, "PE-CONV-012", "the worker process died while it converted this case", "give it more memory, and --resume"
    )


def _free_gib() -> int:
    """Memory that can be had without swapping; as much as is ever asked for where the system does not say."""
    free = free_bytes()
    return GIB_PER_WORKER * MAX_AUTOMATIC if free is None else free >> 30
