"""The server: sources, destinations and pages in threads beside the one that predicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.errors import PEError
from pe_nnunet.serving.answer import Answerer
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.delivery import deliver
from pe_nnunet.serving.destinations import Destination
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.log import say
from pe_nnunet.serving.study_queue import StudyQueue

RESULTS = "results"
IDLE_S = 0.5  # between two looks into the queue
ERROR_S = 5.0  # after an error, as of a full disk

Job = Callable[[], None]


class Server:
    """Everything that one folder's queue needs to be worked through.

    Args:
        folder: Of the queue, the studies and their results.
        queue: In it.
        intake: Where instances go.
        answerer: Predicts.
        quiet_s: Seconds without a new instance after which a study is complete.
        destinations: Where results are sent.
        counts: What happened how often, and what goes wrong now; it is kept up to date.
    """

    def __init__(
        self,
        folder: Path,
        queue: StudyQueue,
        intake: Intake,
        answerer: Answerer,
        *,
        quiet_s: float,
        destinations: Sequence[Destination] = (),
        counts: Counts | None = None,
    ) -> None:
        self.folder, self.queue, self.intake = folder, queue, intake
        self._answerer, self._quiet_s = answerer, quiet_s
        self._stop = threading.Event()
        self.counts = Counts() if counts is None else counts
        self._jobs: list[tuple[str, Job, float]] = []
        self.every(IDLE_S, "sending", lambda: deliver(queue, folder / RESULTS, destinations, self.counts))

    def every(self, seconds: float, name: str, job: Job) -> None:
        """Have a job done in a thread of its own, again and again; it must be said before `run`."""
        self._jobs.append((name, job, seconds))

    def stop(self) -> None:
        """Let `run` return after what it is doing."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`, or an interrupt; the queue must be held (`held`)."""
        threads = [threading.Thread(target=self._repeat, args=item, daemon=True) for item in self._jobs]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.is_set():
                if not self._guarded("predicting", self._next):
                    self._stop.wait(IDLE_S)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(5)

    def _next(self) -> bool:
        """Work on the next study, if one waits."""
        self.queue.settle(self._quiet_s)
        study = self.queue.claim()
        if study is None:
            return False
        say(f"study {study.uid}: begun")
        answer = self._answerer.answer(study.uid, self.intake.folder / study.uid, self.folder / RESULTS / study.uid)
        outcome = answer.outcome
        if isinstance(outcome, CaseFailure):
            self.queue.failed(outcome, "running", reason=answer.reason)
            self.counts.add("predict_failed")
            say(f"study {outcome}")
            return True
        self.counts.add("predicted")
        numbers = (outcome.pe_score, outcome.emboli, outcome.volume_mm3, outcome.seconds)
        if self.queue.done(study.uid, answer.reason, *numbers):
            say(f"study {study.uid}: done, PE score {outcome.pe_score:.2f}, {outcome.emboli} emboli; {answer.reason}")
        else:
            say(f"study {study.uid}: more of it came meanwhile; it will be predicted again")
        return True

    def _repeat(self, name: str, job: Job, seconds: float) -> None:
        while not self._stop.is_set():
            self._guarded(name, job)
            self._stop.wait(seconds)

    def _guarded(self, name: str, job: Callable[[], bool | None]) -> bool:
        """Do a job; what it raises is said, and ends nothing."""
        try:
            came_of_it = bool(job())
        except PEError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - the server goes on
            text = f"PE-ENV-006: {type(error).__name__}: {error}"
        else:
            self.counts.trouble(name, "")
            return came_of_it
        say(f"{name}: {text}")
        self.counts.trouble(name, text)
        self._stop.wait(ERROR_S)
        return False
