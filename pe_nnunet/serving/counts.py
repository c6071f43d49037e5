"""How often what happened since the start, and what goes wrong now: for the health of the server and its metrics."""

from __future__ import annotations

import threading
from collections import Counter

EVENTS = (
    "stored", "known", "refused", "rejected", "aborted", "echoes", "predicted", "predict_failed", "sent", "send_failed",
    "removed",
)  # fmt: skip


class Counts:
    """Counts of `EVENTS`, and troubles by the job that has them; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events = Counter(dict.fromkeys(EVENTS, 0))
        self._troubles: dict[str, str] = {}

    def add(self, event: str) -> None:
        """Count an event."""
        with self._lock:
            self._events[event] += 1

    def trouble(self, job: str, text: str) -> None:
        """A job fails, or works again where the text is empty."""
        with self._lock:
            self._troubles.pop(job, None)
            if text:
                self._troubles[job] = text

    @property
    def events(self) -> dict[str, int]:
        """How often each happened."""
        with self._lock:
            return dict(self._events)

    @property
    def troubles(self) -> dict[str, str]:
        """What goes wrong now, by job."""
        with self._lock:
            return dict(self._troubles)
