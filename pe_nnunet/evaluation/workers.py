"""Scores the cases of a cohort one after another, or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from pe_nnunet.evaluation.score_case import CaseJob, ScoredCase, try_case
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.outputs.run import CaseFailure

MAX_AUTOMATIC = 8


def sensible_workers(cases: int) -> int:
    """Worker processes for a cohort: by processors, and none under eight cases, as a worker takes a second to start."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(processors, cases // 4, MAX_AUTOMATIC))


def score_cases(
    jobs: Sequence[CaseJob], settings: EvaluationSettings, workers: int
) -> Iterator[ScoredCase | CaseFailure]:
    """Score cases, in their order.

    Args:
        jobs: The cases.
        settings: How to score.
        workers: Processes; 1 for none beside this one. A worker that dies fails the cases that are not done.
    """
    if workers <= 1 or len(jobs) < 2:
        yield from (try_case(job, settings) for job in jobs)
        return
    # spawned, not forked: ITK's threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_prepare_worker) as pool:
        futures = [pool.submit(try_case, job, settings) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:
                hint = "for want of memory? give --workers 1"
                yield CaseFailure(job.case_id, "PE-EVAL-010", "a worker process died before the case was scored", hint)


def _prepare_worker() -> None:
    """One thread each, or the workers' libraries would fight for the processors; Ctrl-C is the parent's to hear."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
