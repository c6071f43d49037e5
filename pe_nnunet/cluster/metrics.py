"""What the progress bar says, for the metrics that Ray hands out to Prometheus; docs/cohorts.md lists their names."""

from __future__ import annotations

import time
from typing import Any

from pe_nnunet.cases import CaseFailure


class Metrics:
    """How far a work is.

    Args:
        kinds: `ray.util.metrics`, connected.
        work: What the bar calls it; without a bar there are no metrics.
        cases: How many there are.
    """

    def __init__(self, kinds: Any, work: str, cases: int) -> None:
        self._kinds, self._work, self._left, self._done = kinds, work, cases, 0
        self._began = time.monotonic()
        if work:
            self._cases = self._named("Counter", "cases", "Cases by what became of them: done, or a code", "outcome")
            self._waiting = self._named("Gauge", "cases_left", "Cases that are not done")
            self._seconds = self._named("Gauge", "seconds_left", "What these will take at the rate so far")
            self._ready = self._named("Gauge", "workers", "Workers that are ready")
            self._lost = self._named("Gauge", "workers_lost", "Workers that were lost in this run")
            self._waiting.set(cases)

    def case(self, outcome: Any) -> None:
        """A case is done; `outcome` is its result, or a `CaseFailure`."""
        self._done, self._left = self._done + 1, self._left - 1
        if self._work:
            self._cases.inc(tags={"outcome": outcome.code if isinstance(outcome, CaseFailure) else "done"})
            self._waiting.set(self._left)
            self._seconds.set((time.monotonic() - self._began) / self._done * self._left)

    def workers(self, ready: int, lost: int) -> None:
        """So many there are now, and so many were lost."""
        if self._work:
            self._ready.set(ready)
            self._lost.set(lost)

    def _named(self, kind: str, name: str, text: str, *tags: str) -> Any:
        metric = getattr(self._kinds, kind)(f"pe_nnunet_{name}", description=text, tag_keys=("work", *tags))
        metric.set_default_tags({"work": self._work})
        return metric
