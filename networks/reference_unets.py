"""The names and sizes of CTISPED's Unets-2D weights, read into our U-shaped networks and Nested U-Net.

There, `conv{i}_0` is the encoder's block of stage i, `conv{i}_{4 - i}` the decoder's, `attention{i}_{4 - i}` the gate
in front of it, whatever the depth; in Nested U-Net `conv{i}_{j}` is node (i, j).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor, nn

from pe_nnunet.networks.reference import (
    common_kernel,
    common_length,
    construct,
    load_reference,
    mismatch,
    plain_weights,
)

if TYPE_CHECKING:
    from pe_nnunet.networks.nested_unet import NestedUNet
    from pe_nnunet.networks.u_shaped import PublishedUNet

    UNetT = TypeVar("UNetT", bound=PublishedUNet)

CONVS = {4: nn.Conv2d, 5: nn.Conv3d}
BATCH_NORMS = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def load_published(cls: type[UNetT], state_dict: Mapping[str, Tensor]) -> UNetT:
    """The network of that class with these weights, in evaluation mode, its sizes read off their shapes.

    Args:
        cls: The class; where it says `options_from_reference`, blocks and attention are read off the names.
        state_dict: Weights under the original's names, possibly each with the prefix `module.`.

    Raises:
        ConfigurationError: If entries are missing, unknown or of the wrong shape; it names them.
    """
    weights = plain_weights(state_dict)
    residual, attention = cls.residual_default, cls.attention_default
    if cls.options_from_reference:
        residual = _is_residual(weights)
        attention = any(name.startswith("attention") for name in weights)
    n_stages = _count_stages(weights)
    network = construct(
        cls,
        **_reference_sizes(weights, n_stages),
        strides=_strides(weights, n_stages),
        residual=residual,
        attention=attention,
    )
    prefixes = dict(_prefixes(n_stages, residual=residual, attention=attention))
    own = network.state_dict()
    head = f"decoder.seg_layers.{n_stages - 2}."
    new = [name for name in own if name.startswith("decoder.seg_layers.") and not name.startswith(head)]
    names = {name: _foreign_name(name, prefixes) for name in own if name not in new}
    load_reference(network, weights, names, new=new)
    return network


def load_nested(cls: type[NestedUNet], state_dict: Mapping[str, Tensor]) -> NestedUNet:
    """The network with these weights, in evaluation mode, its sizes read off their shapes, all its heads included.

    Args:
        cls: The class to build.
        state_dict: Weights under the original's names, possibly each with the prefix `module.`.

    Raises:
        ConfigurationError: If entries are missing, unknown or of the wrong shape; it names them.
    """
    weights = plain_weights(state_dict)
    n_stages = _count_stages(weights)
    network = construct(cls, **_reference_sizes(weights, n_stages), n_heads=n_stages - 1)
    prefixes = dict(_nested_prefixes(n_stages))
    load_reference(network, weights, {name: _foreign_name(name, prefixes) for name in network.state_dict()})
    return network


def _is_residual(weights: Mapping[str, Tensor]) -> bool:
    return any(".r2_block." in name for name in weights)


def _count_stages(weights: Mapping[str, Tensor]) -> int:
    """The number of encoder stages.

    Raises:
        ConfigurationError: If there are fewer than two.
    """
    found = {int(match[1]) for name in weights if (match := re.match(r"conv(\d)_0\.", name))}
    if not {0, 1} <= found:
        raise mismatch(missing=[f"conv{i}_0.*" for i in (0, 1) if i not in found])
    return max(found) + 1


def _reference_sizes(weights: Mapping[str, Tensor], n_stages: int) -> dict[str, Any]:
    """Channels, dimensions and kernels as keyword arguments, with the norm and activation of the originals."""
    axes = _common_axes(weights)
    first = "conv0_0.conv.weight" if _is_residual(weights) else "conv0_0.block.0.block.0.weight"
    return {
        "input_channels": common_length(weights, first, axis=1),
        "num_classes": common_length(weights, "final"),
        "n_stages": n_stages,
        "features_per_stage": tuple(common_length(weights, f"conv{i}_") for i in range(n_stages)),
        "conv_op": CONVS[axes],
        "kernel_sizes": tuple(
            common_kernel(weights, rf"conv{i}_\d\.(r2_block|block)\..*", axes - 2) for i in range(n_stages)
        ),
        "conv_bias": True,
        "norm_op": BATCH_NORMS[axes],
        "nonlin": nn.ReLU,
    }


def _common_axes(weights: Mapping[str, Tensor]) -> int:
    """The number of axes of the convolutions' weights: 4 in 2D, 5 in 3D.

    Raises:
        ConfigurationError: If there is no convolution of either kind.
    """
    axes = [value.dim() for value in weights.values() if value.dim() in CONVS]
    if not axes:
        raise mismatch(missing=["conv0_0.*"])
    return max(set(axes), key=axes.count)


def _block_prefixes(own: str, foreign: str) -> Iterator[tuple[str, str]]:
    """Our names and the original's for the parts of a double convolution."""
    for i, part in enumerate(("first", "second")):
        yield f"{own}.{part}.conv", f"{foreign}.block.{i}.block.0"
        yield f"{own}.{part}.norm", f"{foreign}.block.{i}.block.1"


def _strides(weights: Mapping[str, Tensor], n_stages: int) -> list[Any]:
    """The gates' strided convolutions tell the pooling; without gates it is 2."""
    axes = _common_axes(weights) - 2
    return [(1,) * axes] + [
        common_kernel(weights, rf"attention{i}_\d\.x_conv\.weight", axes, odd=False) for i in range(n_stages - 1)
    ]


def _prefixes(n_stages: int, *, residual: bool, attention: bool) -> Iterator[tuple[str, str]]:
    for i in range(n_stages):
        yield from _block(f"encoder.stages.{i}", f"conv{i}_0", residual=residual)
    for i in range(n_stages - 1):
        own, foreign = f"decoder.stages.{n_stages - 2 - i}", f"conv{i}_{4 - i}"
        yield from _block(own, foreign, residual=residual) if residual else _block_prefixes(f"{own}.convs", foreign)
        if attention:
            gate, theirs = f"decoder.gates.{n_stages - 2 - i}", f"attention{i}_{4 - i}"
            yield f"{gate}.skip_conv", f"{theirs}.x_conv"
            yield f"{gate}.gate_conv", f"{theirs}.gate_conv"
            yield f"{gate}.score", f"{theirs}.psi"
            yield f"{gate}.out_conv", f"{theirs}.end_transform.0"
            yield f"{gate}.out_norm", f"{theirs}.end_transform.1"
    yield f"decoder.seg_layers.{n_stages - 2}", "final"


def _block(own: str, foreign: str, *, residual: bool) -> Iterator[tuple[str, str]]:
    if not residual:
        yield from _block_prefixes(own, foreign)
        return
    for projection in ("project", "project_skip", "project_below"):
        yield f"{own}.{projection}", f"{foreign}.conv"
    for i, part in enumerate(("first", "second")):
        yield f"{own}.units.{part}.norm", f"{foreign}.r2_block.{i}.block.block.1"
        yield f"{own}.units.{part}.conv", f"{foreign}.r2_block.{i}.block.block.0"
        yield f"{own}.units.{part}", f"{foreign}.r2_block.{i}.block.block.0"  # the unit's own bias


def _foreign_name(name: str, prefixes: Mapping[str, str]) -> str:
    """The original's name of an entry: the module's name exchanged, the parameter's kept."""
    prefix, _, last = name.rpartition(".")
    return f"{prefixes[prefix]}.{last}"


def _nested_prefixes(n_stages: int) -> Iterator[tuple[str, str]]:
    for i in range(n_stages):
        yield from _block_prefixes(f"encoder.stages.{i}", f"conv{i}_0")
    for j in range(1, n_stages):
        for i in range(n_stages - j):
            yield from _block_prefixes(f"decoder.nodes.{i}_{j}.convs", f"conv{i}_{j}")
    for k in range(n_stages - 1):
        yield f"decoder.seg_layers.{k}", f"final{n_stages - 1 - k}"
