"""How long each stage of a prediction takes."""

from __future__ import annotations

import time


class StageTimes:
    """Seconds by stage, in the order in which they end.

    Attributes:
        seconds: They.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """A stage ends, and the next begins."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
