"""Sliding windows over a preprocessed image: the log-odds of PE.

Windows, their steps and their Gaussian weights are nnU-Net's. Only the log-odds of PE are kept, in float32: with two
classes they are the difference of the logits, with regions the logit itself, so that averaging them over windows
equals averaging nnU-Net's logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, combinations, product
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from torch import Tensor, nn

from pe_nnunet.precision import autocast_for, channels_last_format

Progress = Callable[[int, int], None]


def pe_log_odds(logits: Tensor, channel: int, regions: bool) -> Tensor:
    """Log-odds of PE from a network's output.

    Args:
        logits: (batch, channels, ...).
        channel: Of PE.
        regions: Whether channels are sigmoid regions instead of softmax classes.

    Returns:
        (batch, ...) float32.
    """
    logits = logits.float()
    if regions:
        return logits[:, channel]
    others = [index for index in range(logits.shape[1]) if index != channel]
    return logits[:, channel] - torch.logsumexp(logits[:, others], dim=1)


def window_corners(shape: tuple[int, ...], window: tuple[int, ...], step: float) -> list[tuple[int, ...]]:
    """First voxels of the windows that cover an image.

    Args:
        shape: Of the image; each side at least the window's.
        window: Of a window.
        step: Largest step, as a share of the window.

    Example:
        >>> window_corners((110,), (64,), 0.5)
        [(0,), (23,), (46,)]
    """
    return list(product(*compute_steps_for_sliding_window(shape, window, step)))


@torch.inference_mode()
def predict_log_odds(
    network: nn.Module,
    image: Tensor,
    *,
    patch_size: tuple[int, ...],
    channel: int,
    regions: bool,
    device: torch.device,
    step: float = 0.5,
    mirror_axes: tuple[int, ...] = (),
    batch_size: int = 1,
    bfloat16: bool = True,
    progress: Progress | None = None,
) -> Tensor:
    """Log-odds of PE for a whole image.

    Args:
        network: Returns logits.
        image: (channels, z, y, x), normalised.
        patch_size: (z, y, x), or (y, x): then every slice is predicted by itself.
        channel: Of PE.
        regions: Whether channels are sigmoid regions.
        device: Where the network runs; the sums stay on the CPU.
        step: Largest step between windows, as a share of the window.
        mirror_axes: Spatial axes of the patch over which predictions are averaged.
        batch_size: Windows at once.
        bfloat16: Whether to use bfloat16 on CPUs that have it.
        progress: Called with windows done and in all.

    Returns:
        (z, y, x) float32 on the CPU.
    """
    window = patch_size if len(patch_size) == 3 else (1, *patch_size)
    padded, inner = _pad(image, window)
    corners = window_corners(tuple(padded.shape[1:]), window, step)
    weight = compute_gaussian(tuple(patch_size), dtype=torch.float32, device=torch.device("cpu")).reshape(window)
    total = torch.zeros(padded.shape[1:])
    weights = torch.zeros(padded.shape[1:])
    layout = channels_last_format(len(patch_size))
    done = 0
    for batch in _batches(corners, batch_size):
        places = [tuple(slice(a, a + n) for a, n in zip(corner, window, strict=True)) for corner in batch]
        patches = torch.stack([padded[:, place[0], place[1], place[2]] for place in places])
        if len(patch_size) == 2:
            patches = patches[:, :, 0]
        patches = patches.to(device).contiguous(memory_format=layout)
        with autocast_for(device, bfloat16):
            odds = _mirrored(network, patches, channel, regions, mirror_axes)
        for place, values in zip(places, odds.cpu().reshape(-1, *window), strict=True):
            total[place] += values * weight
            weights[place] += weight
        done += len(batch)
        if progress is not None:
            progress(done, len(corners))
    return (total / weights)[inner]


def _pad(image: Tensor, window: tuple[int, ...]) -> tuple[Tensor, tuple[slice, ...]]:
    """Zeros on both sides where the image is smaller than a window, and where the image lies in it."""
    missing = [max(0, n - size) for n, size in zip(window, image.shape[1:], strict=True)]
    before = [n // 2 for n in missing]
    sides = list(chain.from_iterable((b, n - b) for b, n in zip(reversed(before), reversed(missing), strict=True)))
    inner = tuple(slice(b, b + size) for b, size in zip(before, image.shape[1:], strict=True))
    return nn.functional.pad(image, sides), inner


def _batches(corners: list[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    for first in range(0, len(corners), size):
        yield corners[first : first + size]


def _mirrored(network: nn.Module, patches: Tensor, channel: int, regions: bool, axes: tuple[int, ...]) -> Tensor:
    """Mean logits over all mirrorings, as log-odds."""
    dims = [axis + 2 for axis in axes]
    flips = list(chain.from_iterable(combinations(dims, count) for count in range(len(dims) + 1)))
    total: Tensor = network(patches).float()
    for flip in flips[1:]:  # the first is none
        total = total + torch.flip(network(torch.flip(patches, flip)).float(), flip)
    return pe_log_odds(total / len(flips), channel, regions)


def as_tensor(image: np.ndarray[Any, Any]) -> Tensor:
    """A float32 tensor over an array's own memory where it can be."""
    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
