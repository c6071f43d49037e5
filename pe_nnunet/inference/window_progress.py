"""How far an ensemble is with a scan: windows over all folds of all models, and the share of the time they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.settings import InferenceSettings

Progress = Callable[[str, int, int, float], None]
"""Of the name of a model and its fold, windows done and in all, and the share of the time."""


@dataclass(frozen=True)
class ModelWindows:
    """What one model has to do of a scan.

    Attributes:
        model: It.
        windows: How many there are, for each of its folds.
    """

    model: TrainedModel
    windows: int

    def name_of(self, fold: str) -> str:
        """What is said of a fold."""
        return f"{self.model.name} fold {fold}"

    def time_of_a_window(self, settings: InferenceSettings) -> float:
        """Against those of other models, by what the network writes: they differ in width, depth and size."""
        mirrored = 2 ** len(self.model.mirror_axes) if settings.mirroring else 1
        written = 1.0 if self.model.cost is None else self.model.cost.written
        return mirrored * written * prod(self.model.window_size)


class WindowProgress:
    """Windows done by all models and folds together.

    Args:
        tasks: Of all models, in their order; at least one.
        settings: How they are run.
        progress: What is called; None for nothing.
    """

    def __init__(self, tasks: Sequence[ModelWindows], settings: InferenceSettings, progress: Progress | None) -> None:
        self._settings = settings
        self._progress = progress
        self._first = tasks[0].name_of(tasks[0].model.folds[0][0])
        self._windows = sum(task.windows * len(task.model.folds) for task in tasks)
        self._time = sum(task.windows * len(task.model.folds) * task.time_of_a_window(settings) for task in tasks)
        self._windows_done, self._time_done = 0, 0.0

    def begin(self) -> None:
        """Say how many windows there are."""
        if self._progress is not None:
            self._progress(self._first, 0, self._windows, 0.0)

    def fold(self, task: ModelWindows, fold: str) -> Callable[[int, int], None]:
        """What a fold of a model calls with its own windows, done and in all.

        Args:
            task: Of the model.
            fold: Which begins now; the one before is done.
        """
        name, each = task.name_of(fold), task.time_of_a_window(self._settings)
        windows_before, time_before = self._windows_done, self._time_done

        def done(windows: int, _of: int) -> None:
            self._windows_done = windows_before + windows
            self._time_done = time_before + windows * each
            if self._progress is not None:
                self._progress(name, self._windows_done, self._windows, self._time_done / self._time)

        return done
