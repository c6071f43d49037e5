"""Number format and memory layout of a training step, by device.

On a CPU with bfloat16 instructions: autocast to it, with channels last, where nnU-Net stays in float32. CUDA does as
nnU-Net does (float16 with gradient scaling).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


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
        return _bfloat16_on_a_cpu()
    return SmallMapsByOneDNN() if device.type == "cpu" else nullcontext()


@contextmanager
def _bfloat16_on_a_cpu() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16), ShallowConvolutionsInFloat32():
        yield


class ShallowConvolutionsInFloat32(TorchFunctionMode):
    """Within the block, 3D convolutions whose kernel is deeper than their input compute in float32 on a CPU.

    In bfloat16 they read memory that nobody wrote, where the CPU has avx512_bf16 but no amx (seen with torch 2.14 and
    oneDNN 3.12 on an AMD EPYC): with a kernel of depth 3, weight gradients of a map of depth 2, and the output of one
    of depth 1 from a single channel, are wrong, and now and then not finite. Such maps are the smallest of a network,
    so that their precision costs no time.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch for each of its functions within the block."""
        if func is not torch.conv3d or not _shallow(*args[:2]):
            return func(*args, **(kwargs or {}))
        given, weight, *rest = args
        coarse = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else given.dtype
        bias, rest = (rest[0], rest[1:]) if rest else (None, [])
        with torch.autocast("cpu", enabled=False):
            bias = None if bias is None else bias.float()
            return func(given.float(), weight.float(), bias, *rest, **(kwargs or {})).to(coarse)


def _shallow(given: Tensor, weight: Tensor) -> bool:
    return given.device.type == "cpu" and given.shape[-3] < weight.shape[-3]


class SmallMapsByOneDNN(TorchFunctionMode):
    """Within the block, 3D convolutions of one small map use oneDNN too, where no gradients are kept.

    Torch itself leaves them to code that copies each voxel's neighbourhood, if channels times depth times height are no
    more than 20,480 (`use_mkldnn` in `aten/src/ATen/native/Convolution.cpp`). Of a window in float32 these are most
    stages of a network (`benchmarks/cpu_backends.py` measures what oneDNN gains).
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch for each of its functions within the block."""
        if func is not torch.conv3d or kwargs or len(args) != 7 or not _for_onednn(args[0], args[1], args[4]):
            return func(*args, **(kwargs or {}))
        given, weight, bias, stride, padding, dilation, groups = args
        return torch.mkldnn_convolution(given, weight, bias, padding, stride, dilation, groups)


def _for_onednn(given: Tensor, weight: Tensor, padding: Any) -> bool:
    return (
        given.device.type == "cpu"
        and given.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and isinstance(padding, tuple)  # not the word "same"
        and given.dim() == 5
        and given.numel() > 0
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )


@contextmanager
def single_precision() -> Iterator[None]:
    """Convolutions and matrix products in float32 itself: a GPU may take TF32, with float16's 10 bits of mantissa.

    By `fp32_precision`: torch refuses to tell the older `allow_tf32` to a program that has set the newer one.
    """
    backends: Any = torch.backends  # without types
    kinds = (backends.cudnn.conv, backends.cuda.matmul)
    before = [kind.fp32_precision for kind in kinds]
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        with SmallMapsByOneDNN():
            yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


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
