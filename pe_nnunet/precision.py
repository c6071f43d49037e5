"""Number format and memory layout of a training step, by device.

On a CPU with bfloat16 instructions: autocast to it, with channels last, where nnU-Net stays in float32. CUDA does as
nnU-Net does (float16 with gradient scaling).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn


def cpu_has_bfloat16() -> bool:
    """Whether this CPU computes bfloat16 natively (avx512_bf16 or amx; ARM's are not told by torch)."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported is not None and supported())


def autocast_for(device: torch.device, cpu_bfloat16: bool = True) -> AbstractContextManager[Any]:
    """The autocast context of a training or prediction step.

    Args:
        device: Where the network runs.
        cpu_bfloat16: Whether bfloat16 is wanted on CPUs that have it.
    """
    if device.type == "cuda":
        return torch.autocast("cuda")
    if device.type == "cpu" and cpu_bfloat16 and cpu_has_bfloat16():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def single_precision() -> Iterator[None]:
    """Convolutions in float32 itself: a GPU's default is TF32, whose 10 bits of mantissa are those of float16."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def channels_last_format(dimensions: int) -> torch.memory_format:
    """Torch's name for channels last, of images with 2 or 3 spatial dimensions."""
    return torch.channels_last if dimensions == 2 else torch.channels_last_3d


def channels_last(network: nn.Module, dimensions: int) -> nn.Module:
    """Lay the network's weights out with channels last, the layout that CPU convolutions prefer.

    Args:
        network: Changed in place.
        dimensions: 2 or 3.
    """
    return network.to(memory_format=channels_last_format(dimensions))
