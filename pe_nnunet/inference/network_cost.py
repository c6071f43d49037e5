"""What a window costs a network, memory and time, and which sides it may have."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class NetworkCost:
    """Of one voxel of a window; both grow with the window as its voxels do.

    Attributes:
        bytes: Held at the peak of a pass in single precision, without the weights. Measured with a residual encoder
            U-Net of 32 to 320 features, windows of 128x128x128, on a CPU: 1.08 times as much in single precision, and
            1.10 times the half of it under autocast to bfloat16.
        written: Bytes of all that a pass computes, one layer after another: how long networks take grows with it.
    """

    bytes: float
    written: float


def network_cost(network: nn.Module, channels: int, window: Sequence[int]) -> NetworkCost | None:
    """Count a pass over one window.

    Args:
        network: On torch's `meta` device, where tensors have a shape and no values.
        channels: Of the image.
        window: One that the network takes.

    Returns:
        None where the network cannot be run there.
    """
    count = _Count()
    try:
        with torch.inference_mode(), count:
            network.eval()(torch.empty((1, channels, *window), device="meta"))
    except Exception:  # noqa: BLE001 - a network of others may do anything; it is then run without this
        return None
    return NetworkCost(count.peak_bytes / prod(window), count.written_bytes / prod(window))


def divisor_of(network: nn.Module, configuration: Any) -> tuple[int, ...]:
    """What the sides of a window have to be divisible by.

    Args:
        network: Ours say it themselves; of nnU-Net's the plans do. Of others it is the highest power of two that
            divides each side of the trained patch.
        configuration: nnU-Net's `ConfigurationManager`.
    """
    patch = [int(n) for n in configuration.patch_size]
    known = getattr(network, "divisor", None)
    strides = configuration.network_arch_init_kwargs.get("strides")
    if known is None and strides:
        known = [prod(_by_axis(stride, len(patch))[axis] for stride in strides) for axis in range(len(patch))]
    if known is None or len(known) != len(patch) or any(n % d for n, d in zip(patch, known, strict=True)):
        known = [n & -n for n in patch]
    return tuple(int(n) for n in known)


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class checks its heirs untyped
    """Counts the bytes that live at once, and all that are written."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self.written_bytes = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch for each of its operations within the block."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        self.peak_bytes = max(self.peak_bytes, sum(self._sizes.values()))
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # the same for all views of it
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.written_bytes += storage.nbytes()
            weakref.finalize(storage, self._sizes.pop, key, None)


def _by_axis(stride: Any, axes: int) -> Sequence[int]:
    return [stride] * axes if isinstance(stride, int) else stride
