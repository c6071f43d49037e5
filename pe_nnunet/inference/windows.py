"""Sliding windows over a preprocessed image: the log-odds of PE.

Windows, their steps and their Gaussian weights are nnU-Net's. Only the log-odds of PE are kept, in float32: with two
classes they are the difference of the logits, with regions the logit itself, so that averaging them over windows
equals averaging nnU-Net's logits. The sums lie where the image does: on a GPU with memory for both nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations, product
from math import prod
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from numpy.typing import NDArray
from torch import Tensor, nn

from pe_nnunet.errors import InputError
from pe_nnunet.inference.device import CPU, SHARE_OF_FREE_MEMORY, free_memory, is_out_of_memory
from pe_nnunet.inference.transfer import arriving, sent
from pe_nnunet.precision import autocast_for, channels_last_format, single_precision
from pe_nnunet.voxels import Box

Progress = Callable[[int, int], None]
Places = list[tuple[slice, ...]]

NOT_SEEN = -30.0  # log-odds where nothing was computed: a probability of zero


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


def window_corners(needed: NDArray[np.bool_], window: tuple[int, ...], step: float) -> list[tuple[int, ...]]:
    """First voxels of nnU-Net's windows over the bounding box of what is needed, without those that hold none of it.

    Args:
        needed: (z, y, x), each side at least the window's.
        window: Of a window, (z, y, x).
        step: Largest step, as a share of the window.

    Example:
        >>> needed = np.ones((1, 1, 110), bool)
        >>> window_corners(needed, (1, 1, 64), 0.5)
        [(0, 0, 0), (0, 0, 23), (0, 0, 46)]
        >>> needed[..., :41] = False
        >>> window_corners(needed, (1, 1, 64), 0.5)
        [(0, 0, 41), (0, 0, 46)]
        >>> window_corners(np.tri(8, dtype=bool)[None], (1, 4, 4), 1.0)
        [(0, 0, 0), (0, 4, 0), (0, 4, 4)]
    """
    box = Box.around(needed)
    if box is None:
        return []
    starts = [
        _starts(held, count, side, step) for held, count, side in zip(box.slices, needed.shape, window, strict=True)
    ]
    return [corner for corner in product(*starts) if needed[_place(corner, window)].any()]


def _starts(held: slice, count: int, side: int, step: float) -> list[int]:
    """Where windows begin along an axis of so many voxels, to cover those that are held."""
    extent = max(held.stop - held.start, side)
    first = min(max(0, held.start - (extent - (held.stop - held.start)) // 2), count - extent)
    steps = compute_steps_for_sliding_window((extent,), (side,), step)[0]
    return [first + start for start in dict.fromkeys(steps)]  # of slices, windows of one voxel, it names some twice


def corners_over(
    shape: Sequence[int], patch_size: tuple[int, ...], step: float, within: NDArray[np.bool_] | None = None
) -> list[tuple[int, ...]]:
    """First voxels of the windows over an image, which is padded where it is smaller than one.

    Args:
        shape: Of the image, (z, y, x).
        patch_size: Of a window, (z, y, x), or (y, x) of one in a slice.
        step: Largest step, as a share of the window.
        within: Windows lie over the true voxels of this mask; over the whole image if None.

    Example:
        >>> corners_over((2, 3, 6), (4, 4), 0.5)
        [(0, 0, 0), (0, 0, 2), (1, 0, 0), (1, 0, 2)]
    """
    window = _in_space(patch_size)
    mask = torch.ones(tuple(shape), dtype=torch.bool) if within is None else torch.from_numpy(within)
    return window_corners(_pad(mask[None], window)[0][0].numpy(), window, step)


@torch.inference_mode()
def predict_log_odds(
    network: nn.Module,
    image: Tensor,
    *,
    patch_size: tuple[int, ...],
    channel: int,
    regions: bool,
    device: torch.device,
    corners: Sequence[tuple[int, ...]] | None = None,
    mirror_axes: tuple[int, ...] = (),
    batch_size: int | None = None,
    voxel_bytes: float | None = None,
    float32: bool = False,
    progress: Progress | None = None,
) -> Tensor:
    """Log-odds of PE for a whole image.

    Where memory does not suffice, fewer windows are computed at once; where one is too much for the device, the CPU
    takes over, unless the image lies on the device and could make room.

    Args:
        network: Returns logits.
        image: (channels, z, y, x), normalised, on any device.
        patch_size: (z, y, x), or (y, x): then every slice is predicted by itself.
        channel: Of PE.
        regions: Whether channels are sigmoid regions.
        device: Where the network runs.
        corners: Of `corners_over`; if None, those over the whole image, half a window apart.
        mirror_axes: Spatial axes of the patch over which predictions are averaged.
        batch_size: Windows at once; as many as suit the device if None.
        voxel_bytes: What a voxel of a window takes at the peak; None where it is not known.
        float32: Whether to compute in single precision even where half precision is faster.
        progress: Called with windows done and in all.

    Returns:
        (z, y, x) float32, where the image lies; `NOT_SEEN` where no window was computed.

    Raises:
        InputError: PE-MODEL-010 if memory does not suffice for one window on the CPU.
        RuntimeError: Of torch, if it does not for one window on the device, on which the image lies.
    """
    window = _in_space(patch_size)
    if corners is None:
        corners = corners_over(image.shape[1:], patch_size, 0.5)
    padded, inner = _pad(image, window)
    weight = compute_gaussian(tuple(patch_size), dtype=torch.float32, device=image.device).reshape(window)
    total = torch.zeros(padded.shape[1:], device=image.device)
    layout = channels_last_format(len(patch_size))
    batches = _Batches(corners, batch_size or windows_at_once(window, device, voxel_bytes), device, image.device)

    def computed() -> Iterator[tuple[tuple[int, Places], Tensor]]:
        for batch in batches:
            places = [_place(corner, window) for corner in batch]
            try:
                patches = torch.stack([padded[:, place[0], place[1], place[2]] for place in places])
                if len(patch_size) == 2:
                    patches = patches[:, :, 0]
                patches = sent(patches, batches.device).contiguous(memory_format=layout)
                with single_precision() if float32 else autocast_for(batches.device):
                    odds = _mirrored(network.to(batches.device), patches, channel, regions, mirror_axes)
            except (RuntimeError, MemoryError) as error:
                batches.retry(error)
                continue
            yield (batches.done, places), odds

    for (done, places), odds in arriving(computed(), image.device):
        for place, values in zip(places, odds.reshape(-1, *window), strict=True):
            total[place] += values * weight
        if progress is not None:
            progress(done, len(corners))
    weights = torch.zeros_like(total)  # not beside a network, whose need of memory is the greatest
    for corner in corners:
        weights[_place(corner, window)] += weight
    return total.div_(weights).masked_fill_(weights == 0, NOT_SEEN)[inner]


MOST_VOXELS_ON_A_GPU = 2**22  # maps of 512 channels then keep to torch's 32-bit indices


def windows_at_once(window: tuple[int, ...], device: torch.device, voxel_bytes: float | None = None) -> int:
    """How many windows suit a device: as many as keep it busy, on CUDA no more than half of what is free takes.

    Args:
        window: (z, y, x).
        device: Where the network runs.
        voxel_bytes: What a voxel of a window takes at the peak; None where it is not known.

    Example:
        >>> windows_at_once((1, 256, 256), torch.device("cpu")), windows_at_once((96, 96, 96), torch.device("cpu"))
        (4, 1)
    """
    voxels = 2**18 if device.type == "cpu" else MOST_VOXELS_ON_A_GPU
    if device.type == "cuda" and voxel_bytes:
        voxels = min(voxels, int(SHARE_OF_FREE_MEMORY * (free_memory(device) or 0) / voxel_bytes))
    return max(1, voxels // prod(window))


class _Batches:
    """Batches of window corners, which become smaller where memory does not suffice.

    Args:
        corners: Of all windows.
        size: Of a batch.
        device: Where the network runs.
        place: Where the image lies.
    """

    def __init__(
        self, corners: Sequence[tuple[int, ...]], size: int, device: torch.device, place: torch.device
    ) -> None:
        self.corners = corners
        self.size = size
        self.device = device
        self.place = place
        self.done = 0
        self.last = 0

    def __iter__(self) -> Iterator[Sequence[tuple[int, ...]]]:
        while self.done < len(self.corners):
            batch = self.corners[self.done : self.done + self.size]
            self.last = len(batch)
            self.done += len(batch)
            yield batch

    def retry(self, error: Exception) -> None:
        """Take the last batch again, smaller or on the CPU.

        Raised is anything but a lack of memory, and that for one window where the image could make room for it.
        """
        if not is_out_of_memory(error) or (self.size == 1 and self.place.type != "cpu"):
            raise error
        self.done -= self.last
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.size > 1:
            self.size //= 2
        elif self.device.type != "cpu":
            self.device = CPU
        else:
            raise InputError(
                "PE-MODEL-010",
                "not enough memory for one window",
                "close other programs, or choose smaller windows: --window",
            ) from error


def _in_space(patch_size: tuple[int, ...]) -> tuple[int, ...]:
    return patch_size if len(patch_size) == 3 else (1, *patch_size)


def _place(corner: tuple[int, ...], window: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(corner, window, strict=True))


def _pad(image: Tensor, window: tuple[int, ...]) -> tuple[Tensor, tuple[slice, ...]]:
    """Zeros on both sides where the image is smaller than a window, and where the image lies in it."""
    missing = [max(0, n - size) for n, size in zip(window, image.shape[1:], strict=True)]
    before = [n // 2 for n in missing]
    sides = list(chain.from_iterable((b, n - b) for b, n in zip(reversed(before), reversed(missing), strict=True)))
    inner = tuple(slice(b, b + size) for b, size in zip(before, image.shape[1:], strict=True))
    return nn.functional.pad(image, sides) if any(sides) else image, inner


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
