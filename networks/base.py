"""What every network here offers to nnU-Net, whatever its blocks are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

from torch import Tensor, nn

# what nnU-Net's plans for its own U-Nets and our networks have in common
SHARED_PLAN_KWARGS = (
    "n_stages",
    "features_per_stage",
    "conv_op",
    "kernel_sizes",
    "strides",
    "conv_bias",
    "norm_op",
    "norm_op_kwargs",
    "nonlin",
    "nonlin_kwargs",
)


class SegmentationNetwork(nn.Module, ABC):
    """Base of the networks: sizes, deep supervision, initial weights.

    A network returns logits (n, num_classes, ...) at the input's size; under deep supervision a list of them, full
    resolution first. The state dict is the same either way. `decoder.deep_supervision` may be set at any time, and
    heads are named `decoder.seg_layers.*`. One whose original was published has `from_reference`, a class method that
    takes the original's weights.

    Args:
        strides: Per stage, the step per axis from the stage before; the first stage's is 1.
        dimensions: The number of spatial axes.

    Raises:
        ValueError: If the strides fit neither the number of axes nor the rule for the first stage.
    """

    bytes_per_feature: float
    """Bytes kept for the backward pass per value that a convolution puts out, under autocast to half precision."""

    bytes_per_parameter: ClassVar[float] = 2.0
    """Bytes kept for the backward pass per parameter: the copy in half precision."""

    n_poolings: ClassVar[int] = 4
    """How often a planner halves the image at most."""

    max_width: ClassVar[int] = 32
    """Channels at full resolution where memory is not short."""

    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    """The numbers of spatial axes that the network exists in."""

    plan_options: ClassVar[tuple[str, ...]] = ()
    """What a person may ask a planner for beside `poolings` and `width`: `first_width`, and keyword arguments."""

    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, strides: Sequence[Sequence[int]], dimensions: int) -> None:
        super().__init__()
        self.strides = tuple(tuple(int(s) for s in stride) for stride in strides)
        if any(len(stride) != dimensions for stride in self.strides):
            raise ValueError(f"every stride needs {dimensions} values, got {self.strides}")
        if any(s != 1 for s in self.strides[0]):
            raise ValueError(f"the first stage works at full resolution, so its stride is 1, got {self.strides[0]}")
        self.divisor = tuple(prod(steps) for steps in zip(*self.strides, strict=True))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Image (n, input_channels, ...) to logits (n, num_classes, ...), or a list of them.

        Raises:
            ValueError: If the strides do not divide the spatial shape.
        """
        self.check_size(x.shape[2:])
        out: Tensor | list[Tensor] = self.decoder(self.encoder(x))
        return out

    @abstractmethod
    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """Values that all convolutions put out for one sample, each application of a recurrent one counted.

        Args:
            input_size: The spatial size alone, without batch and channels.

        Raises:
            ValueError: If the strides do not divide it.
        """

    @classmethod
    def kwargs_from_plans(cls, arch_kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Our keyword arguments from those that nnU-Net planned for its own U-Nets, all stages kept.

        What only those have (convolutions per stage, residual blocks, dropout) is dropped; names of classes stay
        names, for nnU-Net to look up.

        Args:
            arch_kwargs: `architecture.arch_kwargs` of a plan for PlainConvUNet or ResidualEncoderUNet, or of ours.

        Example:
            >>> from pe_nnunet.networks import TARUNet
            >>> TARUNet.kwargs_from_plans({"n_stages": 6, "n_conv_per_stage": [2] * 6, "dropout_op": None})
            {'n_stages': 6}
        """
        return {name: arch_kwargs[name] for name in SHARED_PLAN_KWARGS if name in arch_kwargs}

    @property
    def deep_supervision_scales(self) -> list[list[float]]:
        """Size of each output under deep supervision as a share of the input's, per axis, full resolution first."""
        scale = [1.0] * len(self.divisor)
        scales = []
        for stride in self.strides[:-1]:
            scale = [a / s for a, s in zip(scale, stride, strict=True)]
            scales.append(scale)
        return scales

    def check_size(self, size: Sequence[int]) -> None:
        """Refuse spatial sizes that the strides do not divide.

        Raises:
            ValueError: If the number of axes or a side does not fit; it names shape and divisor.
        """
        if len(size) != len(self.divisor):
            raise ValueError(f"expected {len(self.divisor)} spatial axes, got the shape {tuple(size)}")
        if any(n % d or n < 1 for n, d in zip(size, self.divisor, strict=True)):
            raise ValueError(
                f"{type(self).__name__} halves its input until every side is divided by {self.divisor}: the spatial "
                f"shape {tuple(size)} is not divisible by that; pad it or choose another patch size"
            )

    def stage_sizes(self, input_size: Sequence[int]) -> list[tuple[int, ...]]:
        """The spatial size at each stage, full resolution first.

        Raises:
            ValueError: If the strides do not divide the input's size.
        """
        self.check_size(input_size)
        sizes = [tuple(input_size)]
        for stride in self.strides[1:]:
            sizes.append(tuple(n // s for n, s in zip(sizes[-1], stride, strict=True)))
        return sizes

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """Kaiming-normal convolution weights and zero biases, as nnU-Net begins; called by `network.apply`."""
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=1e-2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def stages_of(
    n_stages: int,
    features_per_stage: int | Sequence[int],
    kernel_sizes: int | Sequence[int | Sequence[int]],
    strides: int | Sequence[int | Sequence[int]],
    dimensions: int,
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Features, kernel sizes and strides per stage, in full.

    Args:
        n_stages: The number of resolutions.
        features_per_stage: Channels, one number for all stages or one each.
        kernel_sizes: Odd edge lengths: one number, one per stage, or one per stage and axis.
        strides: Likewise; as one number it holds from the second stage on.
        dimensions: The number of spatial axes.

    Raises:
        ValueError: If a sequence does not have one entry per stage, or a kernel is even.

    Example:
        >>> stages_of(2, (8, 16), 3, 2, 2)
        ((8, 16), ((3, 3), (3, 3)), ((1, 1), (2, 2)))
    """
    features = [features_per_stage] * n_stages if isinstance(features_per_stage, int) else list(features_per_stage)
    kernels = [kernel_sizes] * n_stages if isinstance(kernel_sizes, int) else list(kernel_sizes)
    steps = [1] + [strides] * (n_stages - 1) if isinstance(strides, int) else list(strides)
    for name, given in (("features_per_stage", features), ("kernel_sizes", kernels), ("strides", steps)):
        if len(given) != n_stages:
            raise ValueError(f"{name} needs one entry for each of {n_stages} stages, got {given}")

    def per_axis(value: int | Sequence[int]) -> tuple[int, ...]:
        return (value,) * dimensions if isinstance(value, int) else tuple(int(v) for v in value)

    full_kernels = tuple(per_axis(k) for k in kernels)
    if any(k % 2 == 0 for kernel in full_kernels for k in kernel):
        raise ValueError(f"kernel sizes must be odd, got {kernel_sizes}")
    return tuple(int(f) for f in features), full_kernels, tuple(per_axis(s) for s in steps)


def per_stage(name: str, value: int | Sequence[int], n_stages: int) -> list[int]:
    """One number for each stage.

    Raises:
        ValueError: If a sequence of another length is given.

    Example:
        >>> per_stage("units", 2, 3)
        [2, 2, 2]
    """
    values = [value] * n_stages if isinstance(value, int) else [int(v) for v in value]
    if len(values) != n_stages:
        raise ValueError(f"{name} needs one entry for each of {n_stages} stages, got {values}")
    return values
