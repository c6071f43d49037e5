"""What the worklist page shows: one row a study, without anything that tells whose it is but its UID."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.outputs.writers import WRITERS
from pe_nnunet.pages import render
from pe_nnunet.serving.answer import case_name
from pe_nnunet.serving.prevalence import assumption, estimated, recalibrated
from pe_nnunet.serving.study import Study
from pe_nnunet.serving.study_queue import StudyQueue

MOST = 500  # studies on the page, the newest
SCORES = 1000  # of the newest studies, from which the prevalence is estimated


@dataclass(frozen=True)
class Worklist:
    """The worklist of a queue.

    Attributes:
        queue: Its studies.
        results: Folder with one folder of results a study.
        prevalence: Share of scans with PE where they are read; None where it is to be estimated from the scores.
        score_prevalence: The same where the score is calibrated; None where no probability is to be shown.
    """

    queue: StudyQueue
    results: Path
    prevalence: float | None = None
    score_prevalence: float | None = None

    def page(self) -> str:
        """The page, which asks for `rows` again and again."""
        return render(
            "worklist.html.j2",
            facts="Newest studies, as they come",
            notice=DISCLAIMER,
            model_notices=[],
        )

    def rows(self) -> dict[str, Any]:
        """Studies and how many there are in each state, in JSON's own types."""
        estimate = None
        if self.score_prevalence is not None:
            estimate = estimated(self.queue.newest_scores(SCORES), self.score_prevalence)
        prevalence = estimate.prevalence if self.prevalence is None and estimate is not None else self.prevalence
        return {
            "now": round(time.time(), 1),
            "counts": self.queue.counts(),
            "assumption": assumption(self.score_prevalence, self.prevalence, estimate),
            "studies": [self._row(study, prevalence) for study in self.queue.studies(MOST)],
        }

    def report(self, uid: str) -> Path | None:
        """The page of a study's case, if there is one."""
        if self.queue.study(uid) is None:  # so that a name out of the folder is none
            return None
        path = self._report(uid)
        return path if path.is_file() else None

    def _report(self, uid: str) -> Path:
        return self.results / uid / WRITERS["report"].name(case_name(uid))

    def _row(self, study: Study, prevalence: float | None) -> dict[str, Any]:
        known = study.pe_score is not None and study.state in {"done", "sent", "failed"}
        return {
            "uid": study.uid,
            "state": study.state,
            "received": round(study.received, 1),
            "since": round(study.since, 1),
            "score": study.pe_score if known else None,
            "probability": self._probability(study.pe_score, prevalence) if known else None,
            "emboli": study.emboli if known else None,
            "volume_mm3": study.volume_mm3 if known else None,
            "told": ": ".join(filter(None, [study.code, study.message])) or study.reason,
            "hint": study.hint,
            "report": known and self._report(study.uid).is_file(),
        }

    def _probability(self, score: float | None, prevalence: float | None) -> float | None:
        if score is None or prevalence is None or self.score_prevalence is None:
            return None
        return recalibrated(score, self.score_prevalence, prevalence)
