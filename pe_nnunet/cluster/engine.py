"""Cases handed out to actors on Ray: one that is lost is replaced, and its cases are done elsewhere.

Ray's own restarts and retries (`max_restarts`, `max_task_retries`) are off: they would begin a batch again from its
first case, and would not know at which case a worker is lost time and again.
"""

from __future__ import annotations

import pickle
import textwrap
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tqdm import tqdm

from pe_nnunet.cases import CaseFailure
from pe_nnunet.cases.engine import CaseJob
from pe_nnunet.cluster.head import Head
from pe_nnunet.cluster.metrics import Metrics
from pe_nnunet.cluster.settings import EngineSettings
from pe_nnunet.cluster.slots import Slots, slots
from pe_nnunet.cluster.work_list import TRIES, WorkList
from pe_nnunet.cluster.worker import LOADED, Setup, Worker
from pe_nnunet.errors import ConfigurationError, PEError

LOOK_S = 10.0  # between two looks at which machines there are
GONE_S = 60.0  # Ray starts workers on a machine that is gone until it notices, half a minute later
WAIT_S = 0.5  # until then, where nothing is under way
START_S = 600.0  # without any worker: then none will come


@dataclass(eq=False)
class _Actor:
    """A worker, and what it is at.

    Attributes:
        handle: Ray's.
        answer: What is waited for: that it is ready, or the outcomes of its batch.
        batch: Cases of its batch that are not done, in their order.
        ready: It has started, and takes batches.
        loaded: It has begun with the first case of its batch.
    """

    handle: Any
    answer: Any
    batch: list[str] = field(default_factory=list)
    ready: bool = False
    loaded: bool = False


class RayEngine:
    """Workers on Ray, made when cases come and kept until the end of the `with` block.

    Args:
        ray: The module, connected to a cluster.
        settings: How many workers, and with what.
        setup: What they take over.
        head: Ray's.
        networks: Whether they run networks.
    """

    def __init__(self, ray: Any, settings: EngineSettings, setup: Setup, head: Head, *, networks: bool) -> None:
        self._ray, self._settings, self._setup, self._networks = ray, settings, setup, networks
        self._head = head
        self._actors: list[_Actor] = []
        self._in_vain = 0  # workers lost one after another before their first case
        self._lost = 0  # in all
        self._seen_at = self._looked_at = time.monotonic()

    def __enter__(self) -> RayEngine:
        """Itself."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End the workers."""
        for actor in self._actors:
            self._end(actor)
        self._actors.clear()

    def outcomes(self, job: CaseJob, items: Mapping[str, Any]) -> Generator[tuple[str, Any], None, None]:
        """What becomes of each case, as it is done.

        Raises:
            ConfigurationError: PE-CLU-003 if a machine does not fit; PE-CLU-004 if no worker can be had; PE-CLU-010 if
                the head is gone.
            PEError: One of those that end the run.
        """
        left, sent = WorkList(items), self._ray.put(pickle.dumps(job))
        metrics = Metrics(self._ray.util.metrics, job.bar, len(items))
        self._seen_at = time.monotonic()
        self._grow(len(left))
        while left or any(actor.batch for actor in self._actors):
            for actor in self._actors:
                if actor.ready and not actor.batch and (batch := left.take(len(self._actors))):
                    actor.batch, actor.loaded = batch, False
                    actor.answer = actor.handle.run.remote(sent, {case: items[case] for case in batch})
            if time.monotonic() > self._looked_at + LOOK_S:
                self._grow(len(left))
            waited_for = {id(actor.answer): actor for actor in self._actors if actor.batch or not actor.ready}
            answers = [actor.answer for actor in waited_for.values()]
            if not answers:
                time.sleep(WAIT_S)
            there, _ = self._ray.wait(answers, timeout=LOOK_S, fetch_local=True) if answers else ([], [])
            for answer in there:
                for case_id, outcome in self._take(waited_for[id(answer)], left, job):
                    metrics.case(outcome)
                    yield case_id, outcome
            metrics.workers(sum(actor.ready for actor in self._actors), self._lost)
            self._head.require()
            self._require_workers()

    def _take(self, actor: _Actor, left: WorkList, job: CaseJob) -> Generator[tuple[str, Any], None, None]:
        """The next thing that a worker has to say."""
        try:
            if not actor.ready:
                self._ray.get(actor.answer)
                actor.ready, self._seen_at = True, time.monotonic()
                return
            case_id, outcome = self._ray.get(next(actor.answer))
        except self._ray.exceptions.RayError as error:
            yield from self._lose(actor, error, left, job)
            return
        self._seen_at = time.monotonic()
        if case_id == LOADED:
            actor.loaded, self._in_vain = True, 0
            return
        actor.batch.remove(case_id)
        yield case_id, outcome

    def _lose(
        self, actor: _Actor, error: Exception, left: WorkList, job: CaseJob
    ) -> Generator[tuple[str, Any], None, None]:
        """Replace a worker that died, or that raised what is no case's."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, PEError) or isinstance(cause, job.ends):  # noqa: SIM101 - `ends` may be empty
            raise cause
        self._actors.remove(actor)
        self._lost += 1
        self._end(actor)
        # whatever took it or its answer: Ray has one error for a death, another for want of memory, a third for a node
        at = actor.batch[0] if actor.loaded else None
        if at is None:
            self._in_vain += 1
        if self._in_vain >= TRIES and (actor.ready or time.monotonic() > self._seen_at + GONE_S):
            raise ConfigurationError(
                "PE-CLU-004", f"workers are lost before their first case: {_text(error)}", "look into Ray's logs"
            ) from error
        given_up = left.lost(actor.batch, at)
        again = "" if at is None else f" at {at}, which is {'given up' if given_up else 'done again elsewhere'}"
        tqdm.write(f"PE-CLU-005 warning: a worker was lost{again}")
        if at is not None and given_up:
            yield (
                at,
                CaseFailure(
                    at,
                    "PE-CLU-005",
                    f"{TRIES} workers were lost at it, the last: {_text(error)}",
                    "look at the scan; for want of memory, give workers more processors each, so that fewer fit",
                ),
            )
        self._grow(len(left))

    def _grow(self, waiting: int) -> None:
        """Have as many workers as fit on the machines that there are now, but no more than cases."""
        self._looked_at = time.monotonic()
        if not self._head.answers():
            return
        fitting = self._slots()
        busy = sum(bool(actor.batch) for actor in self._actors)
        wanted = min(self._settings.max_workers or fitting.number, busy + waiting)
        for _ in range(wanted - len(self._actors)):
            handle = (
                self._ray.remote(Worker)
                .options(
                    num_cpus=fitting.cpus,
                    num_gpus=fitting.gpus,
                    max_restarts=0,
                    max_task_retries=0,
                    scheduling_strategy="SPREAD",
                )
                .remote(self._setup)
            )
            self._actors.append(_Actor(handle, handle.process.remote()))

    def _end(self, actor: _Actor) -> None:
        """End a worker; where the head is gone, it ends by itself."""
        if self._head.answers():
            self._ray.kill(actor.handle)

    def _slots(self) -> Slots:
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return slots(machines, self._settings, networks=self._networks)

    def _require_workers(self) -> None:
        """Some must be there, or come in time."""
        if any(actor.ready for actor in self._actors) or not self._head.answers():
            return
        fits = self._slots()
        waited_s = time.monotonic() - self._seen_at
        if waited_s > START_S or not (self._actors or fits.number):
            what = f"{fits.cpus} processors and {fits.gpus:g} GPUs"
            raise ConfigurationError(
                "PE-CLU-004",
                f"no worker can be had in {waited_s:.0f} s: one takes {what}, and {fits.number} fit on the cluster",
                "ask for less by --gpus-per-worker and --cpus-per-worker, or add machines",
            )


def _text(error: Exception) -> str:
    """The beginning of what Ray says, in one line."""
    return textwrap.shorten(str(error), 200, placeholder=" ...")
