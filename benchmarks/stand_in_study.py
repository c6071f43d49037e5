"""What a worker of `cohorts.py` does with a study; a module of its own, as workers import it."""

from __future__ import annotations

import time
from pathlib import Path

from pe_nnunet.files import atomic_json


def stand_in(number: int, *, folder: str, seconds: float) -> int:
    """Wait, and write a manifest."""
    time.sleep(seconds)
    atomic_json(Path(folder) / f"{number % 256:02x}" / f"{number:06d}.json", {"case": number, "emboli": []})
    return number
