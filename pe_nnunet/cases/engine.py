"""What hands cases out to machines other than this one; where there is none, `run_cases` does them here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pe_nnunet.cases.outcome import CaseLimits


@dataclass(frozen=True, kw_only=True)
class CaseJob:
    """What is done for every case: the arguments of `run_cases` that go to a worker with it, and must be picklable.

    Attributes:
        work: What is done for a case.
        read: Makes of an item what `work` takes.
        limits: What a case may take.
        ends: Exceptions that end the run.
        died: Code of a case whose process beside the worker dies.
        bar: What the work is called, where its progress is shown.
    """

    work: Callable[[Any], Any]
    read: Callable[[Any], Any] | None = None
    limits: CaseLimits | None = None
    ends: tuple[type[Exception], ...] = ()
    died: str = "PE-IN-008"
    bar: str = ""


class Engine(Protocol):
    """Workers elsewhere; `pe_nnunet.cluster` has one."""

    def outcomes(self, job: CaseJob, items: Mapping[str, Any]) -> Generator[tuple[str, Any], None, None]:
        """What becomes of each case, as it is done: its result, or a `CaseFailure`."""
