"""Weighted mean PE probability of any number of models and folds on the grid of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch import Tensor

from pe_nnunet.dataset.probabilities import READERS
from pe_nnunet.errors import InputError
from pe_nnunet.inference.device import where_memory_allows
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.preparation import (
    NetworkGrid,
    mask_on_network_grid,
    network_grid,
    place_of_scan,
    prepare,
    probability_slabs,
)
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_progress import ModelWindows, Progress, WindowProgress
from pe_nnunet.inference.window_size import bytes_per_voxel
from pe_nnunet.inference.windows import corners_over, predict_log_odds
from pe_nnunet.volumes.geometry import spacing_zyx


@dataclass(frozen=True)
class _Task(ModelWindows):
    """How much each of the model's folds counts, where it sees the scan, and the windows."""

    share: np.float32
    grid: NetworkGrid
    corners: list[tuple[int, ...]]


def predict_ensemble(
    models: Sequence[TrainedModel],
    image: sitk.Image,
    device: torch.device,
    settings: InferenceSettings | None = None,
    *,
    within: NDArray[np.bool_] | None = None,
    agreement_at: float | None = None,
    progress: Progress | None = None,
    further: Sequence[sitk.Image] = (),
    weights: Sequence[float] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Mean over models and folds of the PE probability; without weights every fold of every model counts alike.

    Models may differ in network, patch, spacing, dimensions and kind of output: each fold's log-odds of PE are brought
    to the image's grid as its plans say, and become probabilities there; probabilities are averaged (nnU-Net averages
    the folds' logits).

    Args:
        models: At least one.
        image: In HU, with axes as in training (LPS).
        device: Where the networks run.
        settings: The defaults if None.
        within: (z, y, x); outside it the probability is 0, and windows that lie outside it are not computed.
        agreement_at: Also count the members, folds of models, whose probability is at least this.
        progress: Called before the first window and after each batch of them.
        further: Channels beside the CT, on its grid; a model takes as many of the first ones as it was trained on.
        weights: How much each model counts, not all 0; its folds share that alike. A model of weight 0 is not computed.

    Returns:
        On the image's grid, (z, y, x): the mean of the members' PE probabilities; and the share of members, each with
        its weight, whose own reaches `agreement_at`, None without it.

    Raises:
        InputError: PE-MODEL-005 if a model needs more image channels, or a volume where there is a slice.
    """
    if not models:
        raise ValueError("an ensemble needs at least one model")
    settings = settings or InferenceSettings()
    hu = sitk.GetArrayViewFromImage(image)
    total = np.zeros(hu.shape, np.float32)
    votes = None if agreement_at is None else np.zeros(hu.shape, np.float32)
    counts = [float(len(model.folds)) for model in models] if weights is None else weights
    spacing, channels = spacing_zyx(image), [hu, *map(sitk.GetArrayViewFromImage, further)]
    tasks = [
        _task(model, weight, _channels_of(model, channels), spacing, settings.step, within)
        for model, weight in zip(models, counts, strict=True)
        if weight > 0
    ]
    course = WindowProgress(tasks, settings, progress)
    course.begin()
    for task in tasks:
        model, grid, share = task.model, task.grid, task.share
        first, *others = _channels_of(model, channels)
        place = place_of_scan(grid, [first, *others], device, _window_bytes(model, device, settings))
        data = where_memory_allows(partial(prepare, model, first, spacing, grid, others), place)
        seen, forward = _as_trained(model), tuple(model.plans.transpose_forward)
        turned = total[seen].transpose(forward)[grid.inside]
        turned_votes = None if votes is None else votes[seen].transpose(forward)[grid.inside]
        for fold, fold_weights in model.folds:
            network, windows_done = model.network_with(fold_weights), course.fold(task, fold)
            odds = where_memory_allows(
                partial(_log_odds, task, network, device, settings, windows_done, data), data.device
            )
            data = data.to(odds.device)  # where the next fold finds room as well
            for start, slab in probability_slabs(model, grid, odds):
                if turned_votes is not None and agreement_at is not None:
                    turned_votes[start : start + len(slab)] += share * (slab >= agreement_at)
                turned[start : start + len(slab)] += slab if share == 1 else share * slab
            del odds  # not beside those of the next fold
        del data  # nor this beside what the next model sees
    for volume in (total, votes):
        if volume is not None:
            volume /= np.float32(sum(counts))
            if within is not None:
                volume *= within
            np.minimum(volume, 1, out=volume)  # a sum of ones may round above their number
    return total, votes


def _log_odds(
    task: _Task,
    network: torch.nn.Module,
    device: torch.device,
    settings: InferenceSettings,
    progress: Callable[[int, int], None],
    data: Tensor,
    place: torch.device,
) -> Tensor:
    """The log-odds of one fold: its network runs on `device`, the scan and the sums of windows lie at `place`."""
    model = task.model
    return predict_log_odds(
        network,
        data.to(place),
        patch_size=model.window_size,
        channel=model.pe_channel,
        regions=model.regions,
        device=device,
        corners=task.corners,
        mirror_axes=model.mirror_axes if settings.mirroring else (),
        batch_size=settings.batch_size,
        voxel_bytes=bytes_per_voxel(model, device, settings),
        float32=settings.float32,
        progress=progress,
    )


def _window_bytes(model: TrainedModel, device: torch.device, settings: InferenceSettings) -> float:
    """What a window takes at the peak; 0 where it is not known."""
    return prod(model.window_size) * (bytes_per_voxel(model, device, settings) or 0)


def _channels_of(model: TrainedModel, channels: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Those that a model was trained on, with axes as in its training.

    Raises:
        InputError: PE-MODEL-005 if one is lacking, or the image is a slice and the model 3D.
    """
    if model.n_channels > len(channels):
        raise InputError(
            "PE-MODEL-005",
            f"{model.name} needs {model.n_channels} channels, the scan has {len(channels)}",
            "give the further ones beside the CT: <case>_0001, ... beside <case>_0000",
        )
    shape = channels[0].shape
    if len(model.patch_size) == 3 and min(shape) < 4:
        raise InputError(
            "PE-MODEL-005", f"{model.name} is 3D, the scan has {shape} voxels", "use a 2d model for single slices"
        )
    seen = _as_trained(model)
    first, *others = (channel[seen] for channel in channels[: model.n_channels])
    return [np.ascontiguousarray(first), *others]


def _task(
    model: TrainedModel,
    weight: float,
    channels: Sequence[NDArray[Any]],
    spacing_mm: tuple[float, float, float],
    step: float,
    within: NDArray[np.bool_] | None,
) -> _Task:
    """Where a model sees the scan, and by which windows.

    Args:
        model: It.
        weight: How much it counts.
        channels: Of `_channels_of`.
        spacing_mm: Of the scan, (z, y, x).
        step: Between windows, as a share of one.
        within: As in `predict_ensemble`.
    """
    first, *others = channels
    grid = network_grid(model, first, spacing_mm, others)
    forward = tuple(model.plans.transpose_forward)
    mask = None if within is None else mask_on_network_grid(grid, within[_as_trained(model)], forward)
    corners = corners_over(grid.new_shape, model.window_size, step, mask)
    return _Task(model, len(corners), np.float32(weight / len(model.folds)), grid, corners)


def _as_trained(model: TrainedModel) -> tuple[slice, slice, slice]:
    """How to index an image in LPS so that its axes run as in the model's training.

    Some of nnU-Net's readers turn what they read to RAS; the others leave it as the dataset has it, which is LPS.
    """
    back = slice(None, None, -1 if READERS.get(model.plans.plans["image_reader_writer"], False) else 1)
    return slice(None), back, back
