"""Copies between the CPU and a GPU, during which both go on computing.

To and from a GPU a copy runs beside other work where the memory of the CPU is pinned. torch keeps such memory for the
next copy, so pieces of one size cost it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SLICES = 16  # at a time: a few MB of a CT

Label = TypeVar("Label")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; what is computed there from it waits for the copy, the CPU does not."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def volume_on(volume: NDArray[Any], device: torch.device) -> Tensor:
    """A copy of a volume on a device, in its own number format: CT values take two bytes, not the four of float32.

    Args:
        volume: (z, y, x), not empty, in any order in memory; unsigned numbers, for which torch has few operations, come
            out as float32.
        device: Where it goes.
    """
    numbers = np.float32 if volume.dtype.kind == "u" else volume.dtype
    copied = torch.empty(volume.shape, dtype=torch.from_numpy(np.empty(0, numbers)).dtype, device=device)
    for k in range(0, len(volume), SLICES):
        copied[k : k + SLICES] = sent(torch.from_numpy(volume[k : k + SLICES].astype(numbers, order="C")), device)
    return copied


def arriving(tensors: Iterable[tuple[Label, Tensor]], device: torch.device) -> Iterator[tuple[Label, Tensor]]:
    """Bring tensors to a device; of those of a GPU one is computed while the one before it is copied and used.

    Args:
        tensors: Each with a label; a GPU begins to compute a tensor when it is taken from here.
        device: Where they are wanted.

    Yields:
        The same in their order, each when it is computed and there.
    """
    on_its_way: tuple[Label, Tensor, torch.cuda.Event] | None = None
    for label, tensor in tensors:
        there = tensor.to(device, non_blocking=tensor.is_cuda)
        copied = torch.cuda.current_stream(tensor.device).record_event() if tensor.is_cuda else None
        if on_its_way is not None:
            yield _complete(*on_its_way)
        on_its_way = None if copied is None else (label, there, copied)
        if copied is None:
            yield label, there
    if on_its_way is not None:
        yield _complete(*on_its_way)


def _complete(label: Label, tensor: Tensor, copied: torch.cuda.Event) -> tuple[Label, Tensor]:
    copied.synchronize()
    return label, tensor
