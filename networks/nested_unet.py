"""Nested U-Net (U-Net++)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from pe_nnunet.networks.base import SegmentationNetwork, stages_of
from pe_nnunet.networks.blocks.layers import Layers, count_values
from pe_nnunet.networks.blocks.unet import ConvBlock, ConvMerge
from pe_nnunet.networks.reference_unets import load_nested
from pe_nnunet.networks.u_shaped import Encoder


class NestedUNet(SegmentationNetwork):
    """A U-Net with decoders of every depth inside each other, all ending at full resolution.

    Node (i, j) works at the resolution of stage i; it sees all nodes (i, 0..j-1) and the upsampled node (i+1, j-1).
    The last node at full resolution gives the logits. With `n_heads` the nodes before it have heads as well, as in
    the original; under deep supervision all heads' logits are returned, the last node's, which is the best, first.

    Args:
        input_channels: Channels of the image.
        num_classes: Logits per voxel.
        n_stages: Number of resolutions; 5 as published.
        features_per_stage: Channels, one number for all stages or one each.
        conv_op: `torch.nn.Conv2d` or `torch.nn.Conv3d`.
        kernel_sizes: Odd edge lengths: one number, one per stage, or one per stage and axis.
        strides: Likewise, the pooling into each stage; 1 for the first.
        conv_bias: Whether convolutions have a bias.
        norm_op: Norm class.
        norm_op_kwargs: Its keyword arguments.
        nonlin: Activation class.
        nonlin_kwargs: Its keyword arguments.
        n_heads: How many of the full-resolution nodes have a head, counted from the last.
        deep_supervision: Whether a list of the heads' logits is returned, all at full resolution.

    Raises:
        ValueError: If the sizes contradict each other.

    Source: Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018; details as in
        CTISPED's Unets-2D: corner-aligned linear upsampling.
    """

    bytes_per_feature = 8.0
    from_reference = classmethod(load_nested)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        *,
        n_stages: int,
        features_per_stage: int | Sequence[int],
        conv_op: type[nn.Module],
        kernel_sizes: int | Sequence[int | Sequence[int]] = 3,
        strides: int | Sequence[int | Sequence[int]] = 2,
        conv_bias: bool = False,
        norm_op: type[nn.Module] | None = None,
        norm_op_kwargs: Mapping[str, Any] | None = None,
        nonlin: type[nn.Module] | None = nn.LeakyReLU,
        nonlin_kwargs: Mapping[str, Any] | None = None,
        n_heads: int = 1,
        deep_supervision: bool = False,
    ) -> None:
        if not 1 <= n_heads < n_stages:
            raise ValueError(f"{n_stages} stages allow 1 to {n_stages - 1} heads, got {n_heads}")
        layers = Layers(conv_op, conv_bias, norm_op, norm_op_kwargs or {}, nonlin, nonlin_kwargs or {})
        features, kernels, steps = stages_of(n_stages, features_per_stage, kernel_sizes, strides, layers.dimensions)
        super().__init__(steps, layers.dimensions)
        self.encoder: Encoder = Encoder(layers, [ConvBlock] * n_stages, input_channels, features, kernels, steps)
        self.decoder: NestedDecoder = NestedDecoder(layers, features, kernels, num_classes, n_heads, deep_supervision)

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """Values that all convolutions put out for one sample of that spatial size."""
        sizes = self.stage_sizes(input_size)
        count = self.decoder.count_features(sizes)
        for stage, size in zip(self.encoder.stages, sizes, strict=True):
            count += cast("ConvBlock", stage).count_features(size)
        return count

    @property
    def deep_supervision_scales(self) -> list[list[float]]:
        """Full resolution, once per head."""
        return [[1.0] * len(self.divisor) for _ in self.decoder.seg_layers]


class NestedDecoder(nn.Module):
    """The nodes (i, j) with j > 0, and the heads.

    Args:
        layers: Layer types.
        features: Channels per stage.
        kernels: Kernel size per stage.
        num_classes: Logits per voxel.
        n_heads: How many full-resolution nodes have a head, counted from the last.
        deep_supervision: Whether the logits of all heads are returned.
    """

    def __init__(
        self,
        layers: Layers,
        features: Sequence[int],
        kernels: Sequence[Sequence[int]],
        num_classes: int,
        n_heads: int,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.num_classes = num_classes
        self.n_columns = len(features)
        self.nodes = nn.ModuleDict(
            {
                node_name(i, j): ConvMerge(layers, j * features[i], features[i + 1], features[i], kernels[i])
                for j in range(1, len(features))
                for i in range(len(features) - j)
            }
        )
        # the last node's head first, so that it keeps its name whatever the number of heads
        self.seg_layers = nn.ModuleList(layers.conv(features[0], num_classes, 1, bias=True) for _ in range(n_heads))

    def forward(self, maps: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """The encoder's maps, full resolution first, to logits at full resolution."""
        rows = [[x] for x in maps]
        for j in range(1, self.n_columns):
            for i in range(self.n_columns - j):
                skips = torch.cat(rows[i], dim=1) if j > 1 else rows[i][0]
                rows[i].append(self.nodes[node_name(i, j)](skips, rows[i + 1][j - 1]))
        if not self.deep_supervision:
            last: Tensor = self.seg_layers[0](rows[0][-1])
            return last
        return [head(rows[0][-1 - k]) for k, head in enumerate(self.seg_layers)]

    def count_features(self, sizes: Sequence[Sequence[int]]) -> int:
        """Values that its convolutions put out for one sample, given each stage's spatial size."""
        heads = len(self.seg_layers) if self.deep_supervision else 1
        count = heads * count_values(self.num_classes, sizes[0])
        for j in range(1, self.n_columns):
            for i in range(self.n_columns - j):
                node = cast("ConvMerge", self.nodes[node_name(i, j)])
                count += node.count_features(sizes[i], sizes[i + 1])
        return count


def node_name(stage: int, column: int) -> str:
    """The name of node (i, j) in the state dict."""
    return f"{stage}_{column}"
