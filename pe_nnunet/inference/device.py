"""The device that a network runs on, by name."""

from __future__ import annotations

import torch

from pe_nnunet.errors import ConfigurationError

CHOICES = ("auto", "cuda", "cpu", "mps")


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
