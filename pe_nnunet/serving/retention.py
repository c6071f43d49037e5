"""Room for new studies: images of finished ones go when they are old, or when the quota is nearly used up."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.log import say
from pe_nnunet.serving.settings import ServeSettings
from pe_nnunet.serving.study_queue import StudyQueue

FULL = 0.9  # of the quota, from where on images of finished studies go, the oldest first
SECONDS_A_DAY = 86400.0
TIDY_S = 10.0  # between two looks at what may go


class Retention:
    """Removes what need not be kept; a study that failed, or is on its way, is never touched.

    Args:
        queue: Its studies stay listed.
        intake: Has the images.
        results: Folder with one folder of results a study.
        settings: How much is kept, and for how long.
        finished: The state in which nothing is to be done any more: `sent`, or `done` where nothing is sent.
        counts: What happened how often; it is added to.
    """

    def __init__(
        self, queue: StudyQueue, intake: Intake, results: Path, settings: ServeSettings, finished: str, counts: Counts
    ) -> None:
        self._queue, self._intake, self._results = queue, intake, results
        self._settings, self._finished, self._counts = settings, finished, counts

    def tidy(self) -> None:
        """Remove what is old, then what the quota asks for."""
        if self._settings.keep_days is not None and self._results.is_dir():
            self._remove_old(time.time() - self._settings.keep_days * SECONDS_A_DAY)
        quota = self._settings.quota_bytes
        if quota is None:
            return
        for uid in self._queue.with_images(self._finished):
            if self._queue.stored_bytes() <= FULL * quota:
                return
            if self._intake.remove(uid, self._finished):
                self._said(uid, "images removed, as the quota is nearly used up")

    def _remove_old(self, before: float) -> None:
        names = {folder.name for folder in self._results.iterdir()} | set(self._queue.with_images(self._finished))
        for name in sorted(names):
            study = self._queue.study(name)
            if study is None or study.since > before or not self._intake.remove(study.uid, self._finished):
                continue
            shutil.rmtree(self._results / name, ignore_errors=True)
            self._said(study.uid, "images and results removed, as their time is up")

    def _said(self, uid: str, what: str) -> None:
        self._counts.add("removed")
        say(f"study {uid}: {what}")
