"""Encoder and decoder of the U-shaped family: max pooling down, linear upsampling and, if wished, gated skips up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar, cast

from torch import Tensor, nn

from pe_nnunet.networks.base import SegmentationNetwork, per_stage, stages_of
from pe_nnunet.networks.blocks.layers import Layers, count_values
from pe_nnunet.networks.blocks.recurrent import R2Block, R2Merge
from pe_nnunet.networks.blocks.unet import AttentionGate, ConvBlock, ConvMerge
from pe_nnunet.networks.reference_unets import load_published

PublishedT = TypeVar("PublishedT", bound="PublishedUNet")
Block = ConvBlock | R2Block
Merge = ConvMerge | R2Merge
BYTES_PER_FEATURE = {True: 4.35, False: 5.9}
"""Of a network whose blocks are not its own kind: recurrent residual ones, double convolutions."""
BYTES_PER_CONVOLUTION = 4.0
"""Of these, in front of norm and activation."""

MakeBlock = Callable[[Layers, int, int, Sequence[int]], Block]
MakeMerge = Callable[[Layers, int, int, int, Sequence[int]], Merge]


class Encoder(nn.Module):
    """One block per stage, with max pooling by the stage's stride in between.

    Args:
        layers: Layer types.
        blocks: Per stage, what makes a block from layers, channels in, channels out, kernel size.
        input_channels: Channels of the image.
        features: Channels per stage.
        kernels: Kernel size per stage.
        strides: Pooling per stage; the first is not used.
    """

    def __init__(
        self,
        layers: Layers,
        blocks: Sequence[MakeBlock],
        input_channels: int,
        features: Sequence[int],
        kernels: Sequence[Sequence[int]],
        strides: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        self.pools = nn.ModuleList([nn.Identity()] + [layers.max_pool(stride) for stride in strides[1:]])
        channels = [input_channels, *features]
        self.stages = nn.ModuleList(
            block(layers, channels[i], channels[i + 1], kernels[i]) for i, block in enumerate(blocks)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """The image (n, c, ...) to the feature maps of all stages, full resolution first."""
        maps = []
        for pool, stage in zip(self.pools, self.stages, strict=True):
            x = stage(pool(x))
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """One merging block per stage but the last, deepest first, and a 1x1 head on each.

    Args:
        layers: Layer types.
        merges: Per stage, what makes a block from layers, skip channels, channels from below, channels out, kernel
            size; the last is not used.
        features: Channels per stage of the encoder.
        kernels: Kernel size per stage.
        strides: Pooling per stage.
        num_classes: Logits per voxel.
        attention: Whether the skips pass attention gates.
        deep_supervision: Whether the logits of all stages are returned.
    """

    def __init__(
        self,
        layers: Layers,
        merges: Sequence[MakeMerge],
        features: Sequence[int],
        kernels: Sequence[Sequence[int]],
        strides: Sequence[Sequence[int]],
        num_classes: int,
        *,
        attention: bool,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.num_classes = num_classes
        upward = list(range(len(features) - 2, -1, -1))
        self.gates = nn.ModuleList(
            AttentionGate(layers, features[i], features[i + 1], strides[i + 1]) for i in upward if attention
        )
        self.stages = nn.ModuleList(
            merges[i](layers, features[i], features[i + 1], features[i], kernels[i]) for i in upward
        )
        self.seg_layers = nn.ModuleList(layers.conv(features[i], num_classes, 1, bias=True) for i in upward)

    def forward(self, maps: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """The encoder's maps, full resolution first, to logits."""
        below = maps[-1]
        outputs: list[Tensor] = []
        last = len(self.stages) - 1
        for i, (stage, head) in enumerate(zip(self.stages, self.seg_layers, strict=True)):
            skip = maps[-2 - i]
            if self.gates:
                skip = self.gates[i](skip, below)
            below = stage(skip, below)
            if self.deep_supervision or i == last:
                outputs.append(head(below))
        return outputs[::-1] if self.deep_supervision else outputs[-1]


class UShapedNetwork(SegmentationNetwork):
    """A U-Net whose blocks are double convolutions or recurrent residual ones, with or without attention gates.

    The networks of the family are subclasses that fix what `residual`, `recurrence` and `attention` are by default.

    Args:
        input_channels: Channels of the image.
        num_classes: Logits per voxel.
        n_stages: Number of resolutions, one more than there are poolings.
        features_per_stage: Channels, one number for all stages or one each.
        conv_op: `torch.nn.Conv2d` or `torch.nn.Conv3d`.
        kernel_sizes: Odd edge lengths: one number, one per stage, or one per stage and axis.
        strides: Likewise, the pooling into each stage; 1 for the first.
        conv_bias: Whether convolutions in front of a norm have a bias.
        norm_op: Norm class; BatchNorm in the originals, InstanceNorm in our plans (small batches, mostly of positive
            patches, mislead moving averages).
        norm_op_kwargs: Its keyword arguments.
        nonlin: Activation class; ReLU in the originals, LeakyReLU in our plans, as everywhere in nnU-Net.
        nonlin_kwargs: Its keyword arguments.
        residual: Recurrent residual blocks; False for double convolutions; None for the network's own choice.
        recurrence: How often a recurrent unit is applied again, one number or one per stage, full resolution first, for
            encoder and decoder alike; None for the network's own choice.
        units: Recurrent units, or convolutions, of each block; one number or one per stage likewise. Two as published.
        attention: Whether the skips pass attention gates; None for the network's own choice.
        deep_supervision: Whether the logits of all decoder stages are returned, full resolution first.

    Raises:
        ValueError: If the sizes contradict each other, or a recurrence is asked for without residual blocks.
    """

    plan_options = ("first_width", "units", "recurrence", "attention", "residual")
    residual_default: ClassVar[bool]
    recurrence_default: ClassVar[int]
    attention_default: ClassVar[bool]

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
        residual: bool | None = None,
        recurrence: int | Sequence[int] | None = None,
        units: int | Sequence[int] = 2,
        attention: bool | None = None,
        deep_supervision: bool = False,
    ) -> None:
        if n_stages < 2:
            raise ValueError(f"at least two stages are needed, got {n_stages}")
        residual = self.residual_default if residual is None else residual
        attention = self.attention_default if attention is None else attention
        if recurrence is None:
            recurrence = self.recurrence_default if residual else 0
        recurrences = per_stage("recurrence", recurrence, n_stages)
        if any(recurrences) and not residual:
            raise ValueError(f"double convolutions do not recur, got recurrence={recurrence} with residual=False")
        layers = Layers(conv_op, conv_bias, norm_op, norm_op_kwargs or {}, nonlin, nonlin_kwargs or {})
        features, kernels, steps = stages_of(n_stages, features_per_stage, kernel_sizes, strides, layers.dimensions)
        super().__init__(steps, layers.dimensions)
        counts = per_stage("units", units, n_stages)
        self.bytes_per_feature = self._bytes_per_feature(residual, attention, counts[0], features)
        blocks: list[MakeBlock] = [partial(ConvBlock, units=n) for n in counts]
        merges: list[MakeMerge] = [partial(ConvMerge, units=n) for n in counts]
        if residual:
            both = list(zip(counts, recurrences, strict=True))
            blocks = [partial(R2Block, units=n, recurrence=again) for n, again in both]
            merges = [partial(R2Merge, units=n, recurrence=again) for n, again in both]
        self.encoder: Encoder = Encoder(layers, blocks, input_channels, features, kernels, steps)
        self.decoder: Decoder = Decoder(
            layers,
            merges,
            features,
            kernels,
            steps,
            num_classes,
            attention=attention,
            deep_supervision=deep_supervision,
        )

    def _bytes_per_feature(self, residual: bool, attention: bool, units: int, features: Sequence[int]) -> float:
        """As measured of this network; of other blocks than its own, and of as many at full resolution as it has."""
        own = type(self).bytes_per_feature if residual == self.residual_default else BYTES_PER_FEATURE[residual]
        if residual:
            return own
        # per channel at full resolution, convolutions of encoder, decoder and gate keep four bytes each; what a merge
        # joins, two a channel, and the rest stay, however many convolutions share them
        stays = (own - BYTES_PER_CONVOLUTION) * (4 + attention) + 2 * (features[1] / features[0] - 2)
        return BYTES_PER_CONVOLUTION + stays / (2 * units + attention)

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """Values that all convolutions put out for one sample of that spatial size."""
        sizes = self.stage_sizes(input_size)
        count = 0
        for stage, size in zip(self.encoder.stages, sizes, strict=True):
            count += cast("Block", stage).count_features(size)
        for i, stage in enumerate(self.decoder.stages):
            level = len(sizes) - 2 - i
            size, below = sizes[level], sizes[level + 1]
            count += cast("Merge", stage).count_features(size, below)
            if self.decoder.gates:
                count += cast("AttentionGate", self.decoder.gates[i]).count_features(size, below)
            if self.decoder.deep_supervision or level == 0:
                count += count_values(self.decoder.num_classes, size)
        return count


class PublishedUNet(UShapedNetwork):
    """A network of the family that is one of CTISPED's Unets-2D, so that their weights can be loaded."""

    options_from_reference: ClassVar[bool] = False
    """Whether its blocks and gates are options, to be read off the weights' names."""

    @classmethod
    def from_reference(cls: type[PublishedT], state_dict: Mapping[str, Tensor]) -> PublishedT:
        """The 2D network (or its 3D analogue) of CTISPED's Unets-2D that the weights describe, batch norm included.

        The original has one head; those of the coarser stages, for deep supervision, begin anew. How often a unit
        recurs leaves no trace in the weights: it is the network's own, 2, as in the original.

        Raises:
            ConfigurationError: If entries are missing, unknown or of the wrong shape; it names them.
        """
        return load_published(cls, state_dict)
