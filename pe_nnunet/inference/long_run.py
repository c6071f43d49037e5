"""A run that will take long says so when its first windows were timed, and what would make it faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from tqdm import tqdm

from pe_nnunet.cases import duration
from pe_nnunet.errors import Note
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.settings import PRESETS, InferenceSettings
from pe_nnunet.inference.window_size import MOST_VOXELS_ON_A_CPU

LONG_S = 600.0


class LongRun:
    """Says once that a run will take more than ten minutes.

    Args:
        models: That predict.
        device: Where they run.
        settings: How.
        scans: How many there are.
        in_parts: Whether the command can share them with other machines.
    """

    def __init__(
        self,
        models: Sequence[TrainedModel],
        device: torch.device,
        settings: InferenceSettings,
        scans: int,
        *,
        in_parts: bool = False,
    ) -> None:
        self._models, self._device, self._settings, self._in_parts = models, device, settings, in_parts
        self._left = scans
        self._said = False

    def next_scan(self) -> Callable[[float], None]:
        """What is called with the seconds that the scan which begins now will take."""
        left = self._left
        self._left -= 1

        def foreseen(seconds: float) -> None:
            if not self._said and seconds * left > LONG_S:
                self._said = True
                faster = faster_ways(self._models, self._device, self._settings)
                if self._in_parts and left > 1:
                    faster.append("several machines, --num-parts")
                tqdm.write(str(long_run_note(seconds, left, faster)))

        return foreseen


def long_run_note(seconds: float, scans: int, faster: Sequence[str]) -> Note:
    """What is said.

    Args:
        seconds: That one scan will take.
        scans: How many are left, this one included.
        faster: What would make it faster.

    Example:
        >>> print(long_run_note(330, 4, ["a GPU"]))
        PE-IN-021 warning: this will take about 22 minutes, 5.5 minutes a scan; faster: a GPU
    """
    each = f", {duration(seconds)} a scan" if scans > 1 else ""
    text = f"this will take about {duration(seconds * scans)}{each}"
    return Note("PE-IN-021", "warning", text + (f"; faster: {'; '.join(faster)}" if faster else ""))


def faster_ways(models: Sequence[TrainedModel], device: torch.device, settings: InferenceSettings) -> list[str]:
    """Options that would make a run faster.

    Args:
        models: That predict.
        device: Where they run.
        settings: How.
    """
    ways = []
    mirrored = max(2 ** len(model.mirror_axes) for model in models) if settings.mirroring else 1
    if mirrored > 1:
        ways.append(f"--disable_tta, {mirrored} times")
    folds = max(len(model.folds) for model in models)
    if folds > 1:
        ways.append(f"one fold, -f {models[0].folds[0][0]}, {folds} times")
    if len(models) > 1:
        ways.append("fewer models")
    wide = PRESETS["fast"].step
    if settings.step < wide:
        ways.append(f"windows further apart, -step_size {wide:g}, up to {(wide / settings.step) ** 3:.1f} times")
    if device.type == "cpu":
        if any(prod(model.window_size) > MOST_VOXELS_ON_A_CPU for model in models):
            ways.append("smaller windows, --window 128 128 128")  # still smaller ones overlap more, and save nothing
        ways.append("a GPU")
    return ways
