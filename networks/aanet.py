"""AANet: the artery-aware network for pulmonary embolism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pe_nnunet.networks.base import SegmentationNetwork, stages_of
from pe_nnunet.networks.blocks.artery_aware import ASPP, AANetLevel, ProbabilityHead, ResidualSequence
from pe_nnunet.networks.blocks.layers import count_values
from pe_nnunet.networks.blocks.weight_standardised import unit
from pe_nnunet.networks.reference_aanet import load_aanet

ARTERY, PE = 0, 1  # channels of the result
STEM_FEATURES, FIRST_FEATURES, FEATURE_STEP = 16, 64, 32
ASPP_FEATURES, HEAD_FEATURES = 32, 16


class AANet(SegmentationNetwork):
    """Segments arteries and emboli, the embolus head seeing only what the artery head lets through.

    A convolution at full resolution and one of stride 2; a residual encoder below that, a decoder of transposed
    convolutions up to half resolution; the bottleneck and all decoder levels joined there, by atrous spatial pyramid
    pooling; two heads up to full resolution. Channel 0 of the logits is artery, channel 1 pulmonary embolism: the
    labels are regions, and the network refuses any other number of classes.

    Args:
        input_channels: Channels of the image.
        num_classes: 2.
        n_stages: Number of resolutions, the full one included; 5 as published.
        conv_op: `torch.nn.Conv3d`; the network exists in 3D alone.
        features_per_stage: Multiples of four; by default as published, 16, 64, 96, 128, 160, and so on.
        kernel_sizes: Odd edge lengths: one number, one per stage, or one per stage and axis.
        strides: Likewise, the step into each stage; 1 for the first.
        encoder_blocks: Residual blocks per stage from the second on; by default 2, 3, 3, 3, ...
        decoder_blocks: Residual blocks per decoder level, finest first; by default 1, 2, 2, ...
        aspp_features: Channels of the pyramid, a multiple of four.
        head_features: Channels at full resolution in each head, a multiple of four.
        artery_attention: Whether the artery's probability weights the embolus head's features; without it, both
            heads see the same: the ablation.
        deep_supervision: Whether the logits come as a list, here of one; nothing coarser is supervised.

    Raises:
        ValueError: If dimensions, classes or sizes do not fit.

    Source: "Artery-aware network for pulmonary embolism detection in CTPA images" (AANet), MICCAI 2022, and its
        published code and weights. New here: any strides, kernels and number of stages.
    """

    bytes_per_feature = 4.65
    max_width = 64  # at half resolution, where the residual stages begin
    dimensions = (3,)
    from_reference = classmethod(load_aanet)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        *,
        n_stages: int = 5,
        conv_op: type[nn.Module] = nn.Conv3d,
        features_per_stage: Sequence[int] | None = None,
        kernel_sizes: int | Sequence[int | Sequence[int]] = 3,
        strides: int | Sequence[int | Sequence[int]] = 2,
        encoder_blocks: Sequence[int] | None = None,
        decoder_blocks: Sequence[int] | None = None,
        aspp_features: int = ASPP_FEATURES,
        head_features: int = HEAD_FEATURES,
        artery_attention: bool = True,
        deep_supervision: bool = False,
    ) -> None:
        if conv_op is not nn.Conv3d:
            raise ValueError(f"AANet exists in 3D alone, got {conv_op}")
        if num_classes != 2:
            raise ValueError(f"AANet has two heads, artery and pulmonary embolism, got {num_classes} classes")
        if n_stages < 3:
            raise ValueError(f"AANet needs at least three stages, got {n_stages}")
        given = default_features(n_stages) if features_per_stage is None else features_per_stage
        features, kernels, steps = stages_of(n_stages, given, kernel_sizes, strides, 3)
        super().__init__(steps, 3)
        down = list(encoder_blocks or [2] + [3] * (n_stages - 2))
        up = list(decoder_blocks or [1] + [2] * (n_stages - 3))
        if len(down) != n_stages - 1 or len(up) != n_stages - 2:
            raise ValueError(
                f"{n_stages} stages need {n_stages - 1} encoder_blocks and {n_stages - 2} decoder_blocks, "
                f"got {down} and {up}"
            )
        self.encoder: AANetEncoder = AANetEncoder(input_channels, features, kernels, steps, down)
        self.decoder: AANetDecoder = AANetDecoder(
            features, kernels, steps, up, aspp_features, head_features, artery_attention, deep_supervision
        )

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """Values that all convolutions put out for one sample of that spatial size."""
        sizes = self.stage_sizes(input_size)
        return self.encoder.count_features(sizes) + self.decoder.count_features(sizes)

    @property
    def deep_supervision_scales(self) -> list[list[float]]:
        """Full resolution alone."""
        return [[1.0, 1.0, 1.0]]

    @classmethod
    def kwargs_from_plans(cls, arch_kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The plan's stages, kernels and strides; widths, norm and activation are AANet's own."""
        names = ["n_stages", "conv_op", "kernel_sizes", "strides"]
        own = ["encoder_blocks", "decoder_blocks", "aspp_features", "head_features", "artery_attention"]
        if any(name in arch_kwargs for name in own):  # a plan for AANet
            names += ["features_per_stage", *own]
        return {name: arch_kwargs[name] for name in names if name in arch_kwargs}

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """Kaiming-normal weights, and heads that begin with the prior probability everywhere."""
        if isinstance(module, ProbabilityHead):
            module.begin_at_prior()  # called after its convolution's own turn
        else:
            SegmentationNetwork.initialize(module)


class AANetEncoder(nn.Module):
    """Stem, and residual stages from half resolution down.

    Args:
        input_channels: Channels of the image.
        features: Channels per stage.
        kernels: Kernel size per stage.
        strides: Step into each stage.
        n_blocks: Residual blocks per stage from the second on.
    """

    def __init__(
        self,
        input_channels: int,
        features: Sequence[int],
        kernels: Sequence[Sequence[int]],
        strides: Sequence[Sequence[int]],
        n_blocks: Sequence[int],
    ) -> None:
        super().__init__()
        self.features = tuple(features)
        self.stem = unit(input_channels, features[0], kernels[0])
        # the first step down has the full kernel, the later ones kernels of the stride's size
        self.steps = nn.ModuleList(
            unit(features[i - 1], features[i], kernels[0] if i == 1 else strides[i], stride=strides[i])
            for i in range(1, len(features))
        )
        self.stages = nn.ModuleList(
            ResidualSequence(features[i], features[i], kernels[i], n_blocks[i - 1]) for i in range(1, len(features))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """The image to the maps of all stages from half resolution down."""
        x = self.stem(x)
        maps = []
        for step, stage in zip(self.steps, self.stages, strict=True):
            x = stage(step(x))
            maps.append(x)
        return maps

    def count_features(self, sizes: Sequence[Sequence[int]]) -> int:
        """Values that its convolutions put out for one sample, given each stage's spatial size."""
        count = sum(count_values(f, size) for f, size in zip(self.features, sizes, strict=True))
        return count + sum(
            cast("ResidualSequence", stage).count_features(size)
            for stage, size in zip(self.stages, sizes[1:], strict=True)
        )


class AANetDecoder(nn.Module):
    """Up to half resolution level by level, then pyramid pooling over all levels, then the two heads.

    Args:
        features: Channels per stage.
        kernels: Kernel size per stage.
        strides: Step into each stage.
        n_blocks: Residual blocks per level, finest first.
        aspp_features: Channels of the pyramid.
        head_features: Channels at full resolution in each head.
        artery_attention: Whether the artery's probability weights the embolus head's features.
        deep_supervision: Whether the logits come as a list of one.
    """

    def __init__(
        self,
        features: Sequence[int],
        kernels: Sequence[Sequence[int]],
        strides: Sequence[Sequence[int]],
        n_blocks: Sequence[int],
        aspp_features: int,
        head_features: int,
        artery_attention: bool,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.artery_attention = artery_attention
        self.features, self.aspp_features, self.head_features = tuple(features), aspp_features, head_features
        self.stride = tuple(strides[1])
        upward = range(len(features) - 2, 0, -1)
        self.levels = nn.ModuleList(
            AANetLevel(features[i + 1], features[i], kernels[i], strides[i + 1], n_blocks[i - 1]) for i in upward
        )
        reduced = range(len(features) - 1, 1, -1)  # the bottleneck and all levels but the finest
        self.reductions = nn.ModuleList(unit(features[i], aspp_features, (1, 1, 1)) for i in reduced)
        self.aspp = ASPP(features[1] + aspp_features * len(reduced), aspp_features, kernels[1])
        self.seg_layers = nn.ModuleList(
            ProbabilityHead(aspp_features, head_features, kernels[0], strides[1]) for _ in (ARTERY, PE)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """The encoder's maps, half resolution first, to logits at full resolution."""
        below = maps[-1]
        coarse = []
        for level, reduction, skip in zip(self.levels, self.reductions, maps[-2::-1], strict=True):
            coarse.append(F.interpolate(reduction(below), size=maps[0].shape[2:], mode="nearest"))
            below = level(skip, below)
        shared = self.aspp(torch.cat([below, *coarse[::-1]], dim=1))
        artery = self.seg_layers[ARTERY](shared)
        if self.artery_attention:
            shared = shared * F.max_pool3d(torch.sigmoid(artery), self.stride, self.stride)
        logits = torch.cat((artery, self.seg_layers[PE](shared)), dim=1)
        return [logits] if self.deep_supervision else logits

    def count_features(self, sizes: Sequence[Sequence[int]]) -> int:
        """Values that its convolutions put out for one sample, given each stage's spatial size."""
        count = sum(count_values(self.aspp_features, size) for size in sizes[2:])
        for i, level in enumerate(self.levels):
            count += cast("AANetLevel", level).count_features(sizes[-2 - i])
        heads = 2 * count_values(self.head_features + 1, sizes[0])
        return count + self.aspp.count_features(sizes[1]) + heads


def default_features(n_stages: int) -> tuple[int, ...]:
    """Channels per stage as published, continued to any number of stages.

    Example:
        >>> default_features(5)
        (16, 64, 96, 128, 160)
    """
    return (STEM_FEATURES, *(FIRST_FEATURES + FEATURE_STEP * i for i in range(n_stages - 1)))
