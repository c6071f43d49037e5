"""What the parts of `gpu.py` work on, and how they take times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from random_model import Size

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """What the parts work on.

    Attributes:
        folder: For what they write.
        device: Where networks run.
        sizes: Of the networks, by name.
        models: Their folders.
        scan: A CT.
        until: When time is over, as `time.monotonic` says it.
        konfai: The plain U-Net as an app of KonfAI.
        tiny: Whether the numbers do not count, and all is done as rarely as can be.
    """

    folder: Path
    device: torch.device
    sizes: dict[str, Size]
    models: dict[str, Path]
    scan: Path
    until: float
    konfai: Path | None = None
    tiny: bool = False

    @property
    def repeats(self) -> int:
        """How often what is short is timed."""
        return 1 if self.tiny else 3

    @property
    def left_s(self) -> float:
        """Seconds of the time that is left."""
        return self.until - time.monotonic()

    def wait(self) -> None:
        """Until the GPU has nothing to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def timed(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[float, Any]:
        """Seconds of a call, and what it returns."""
        self.wait()
        began = time.perf_counter()
        found = run(*args, **kwargs)
        self.wait()
        return time.perf_counter() - began, found

    @contextmanager
    def peak(self, found: dict[str, float], name: str) -> Iterator[None]:
        """Note under a name how many GB torch held on the GPU at most within the block; nothing for a CPU."""
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        yield
        found[name] = torch.cuda.max_memory_allocated() / 1e9


def row(what: str, ours: float, *, unit: str = "s", peer: str = "", theirs: float | None = None) -> dict[str, Any]:
    """A measurement, in the fields of `run.py`."""
    return {"what": what, "unit": unit, "ours": ours, "peer": peer, "theirs": theirs}
