"""The device that a network runs on: by name, and what is free on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.processes import free_bytes

Result = TypeVar("Result")

CHOICES = ("auto", "cuda", "cpu", "mps")
CPU = torch.device("cpu")
SHARE_OF_FREE_MEMORY = 0.5  # that a scan, a window or a batch of windows may take; others need some as well


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes CUDA, else Apple's MPS, else the CPU.

    Args:
        name: One of `CHOICES`.

    Raises:
        ConfigurationError: PE-ENV-004 if it is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(name, False):
        there = ", ".join(kind for kind, ready in available.items() if ready)
        raise ConfigurationError("PE-ENV-004", f"no device {name!r} here", f"available: {there}")
    return torch.device(name)


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free where a network runs; None where nobody says.

    Of a GPU that includes what torch keeps of earlier scans for later ones.
    """
    if device.type != "cuda":
        return free_bytes()  # Apple's GPUs share the memory of the machine
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory did not suffice, on a GPU or on the CPU.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
        True
    """
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def where_memory_allows(compute: Callable[[torch.device], Result], device: torch.device) -> Result:
    """What is computed on a device, or on the CPU where the device's memory does not suffice.

    Args:
        compute: Called with the device, and a second time with the CPU if the first ends for want of memory.
        device: Where it is tried first.
    """
    if device.type != "cpu":
        try:
            return compute(device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if device.type == "cuda":  # here, where the error no longer holds what was computed so far
            torch.cuda.empty_cache()
    return compute(CPU)
