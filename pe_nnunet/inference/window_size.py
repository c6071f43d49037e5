"""How large the windows are that a network is given: the trained patch, or smaller where that is asked for or needed.

Without `--window` a network gets the patch that it was trained on, unless

- it takes more than half of the memory that is free, or
- it has more than 2^21 voxels (128x128x128) and the network runs on a CPU, where larger ones take minutes each and
  show no progress.

The longest side is then shortened, by a step of the network's pooling at a time, until the window keeps to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch

from pe_nnunet.errors import Note
from pe_nnunet.inference.device import SHARE_OF_FREE_MEMORY, free_memory
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.precision import cpu_has_bfloat16

MOST_VOXELS_ON_A_CPU = 2**21
MIN_AT_THE_COARSEST = 2  # voxels per axis: a norm over a single one is none


def with_windows(
    models: Sequence[TrainedModel], device: torch.device, settings: InferenceSettings
) -> tuple[tuple[TrainedModel, ...], tuple[Note, ...]]:
    """Give models their windows.

    Args:
        models: All that will be in memory, which are loaded already: what is free then counts.
        device: Where they run.
        settings: Of the prediction.

    Returns:
        The models; and what differs from the trained patch by itself, or from what was asked for.
    """
    free = None if settings.window else free_memory(device)
    chosen, notes = [], []
    for model in models:
        window, note = _asked(model, settings.window) if settings.window else _fitting(model, device, settings, free)
        chosen.append(replace(model, window=window))
        notes += [note] if note is not None else []
    return tuple(chosen), tuple(dict.fromkeys(notes))


def described(models: Sequence[TrainedModel]) -> list[dict[str, Any]]:
    """What a manifest says of the windows, with axes in the order of the plans."""
    return [
        {"model": model.name, "voxels": list(model.window_size), "trained": list(model.patch_size)} for model in models
    ]


def rounded(asked: Sequence[int], divisor: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """The window next to the one that is asked for that a network takes: as large or larger, but for the patch.

    Args:
        asked: Voxels per axis.
        divisor: What sides have to be divisible by.
        patch: That the network was trained on; no side goes beyond it.

    Example:
        >>> rounded((60, 64, 10), (16, 16, 16), (64, 48, 64))
        (64, 48, 32)
    """
    return tuple(
        min(max(-(-side // step), MIN_AT_THE_COARSEST) * step, most)
        for side, step, most in zip(asked, divisor, patch, strict=True)
    )


def largest_window(patch: Sequence[int], divisor: Sequence[int], most_voxels: float) -> tuple[int, ...]:
    """The trained patch with its longest sides shortened until it has no more than so many voxels, if it can.

    Args:
        patch: Voxels per axis.
        divisor: What sides have to be divisible by.
        most_voxels: Of the window.

    Example:
        >>> largest_window((224, 320, 320), (32, 64, 64), 2**21)
        (128, 128, 128)
        >>> largest_window((64, 64), (16, 16), 100)
        (32, 32)
    """
    window = list(patch)
    smallest = rounded([1] * len(patch), divisor, patch)
    while prod(window) > most_voxels:
        sides = [axis for axis, side in enumerate(window) if side > smallest[axis]]
        if not sides:
            break
        longest = max(sides, key=lambda axis: (window[axis], axis))
        window[longest] = max(window[longest] - divisor[longest], smallest[longest])
    return tuple(window)


def bytes_per_voxel(model: TrainedModel, device: torch.device, settings: InferenceSettings) -> float | None:
    """What a voxel of a window takes at the peak, in the precision that is computed in; None where it is not known."""
    if model.cost is None:
        return None
    half = device.type == "cuda" or (device.type == "cpu" and cpu_has_bfloat16())
    return model.cost.bytes / 2 if half and not settings.float32 else model.cost.bytes


def _asked(model: TrainedModel, asked: Sequence[int]) -> tuple[tuple[int, ...], Note | None]:
    turned = [asked[axis] for axis in model.plans.transpose_forward][-len(model.patch_size) :]
    window = rounded(turned, model.divisor, model.patch_size)
    if list(window) == turned:
        return window, None
    return window, Note(
        "PE-ROI-010",
        "repaired",
        f"{model.name}: windows of {_size(window)} voxels instead of {_size(turned)}: sides must be multiples of "
        f"{_size(model.divisor)}, and no longer than the trained patch, {_size(model.patch_size)}",
    )


def _fitting(
    model: TrainedModel, device: torch.device, settings: InferenceSettings, free: int | None
) -> tuple[tuple[int, ...], Note | None]:
    patch, each = model.patch_size, bytes_per_voxel(model, device, settings)
    most, why = float("inf"), ""
    if device.type == "cpu" and prod(patch) > MOST_VOXELS_ON_A_CPU:
        most, why = MOST_VOXELS_ON_A_CPU, f"it runs on a CPU, where windows have {MOST_VOXELS_ON_A_CPU} voxels at most"
    if free is not None and each is not None and min(prod(patch), most) * each > SHARE_OF_FREE_MEMORY * free:
        most = SHARE_OF_FREE_MEMORY * free / each
        why = (
            f"the patch takes {prod(patch) * each / 2**30:.1f} GiB, and a window may take half of the "
            f"{free / 2**30:.1f} GiB that are free"
        )
    window = largest_window(patch, model.divisor, most)
    if window == patch:
        return window, None
    return window, Note(
        "PE-ROI-009",
        "warning",
        f"{model.name}: windows of {_size(window)} voxels instead of the trained patch, {_size(patch)}: {why}; "
        "probabilities differ from those of the patch; --window Z Y X chooses another size",
    )


def _size(sides: Sequence[int]) -> str:
    return "x".join(str(side) for side in sides)
