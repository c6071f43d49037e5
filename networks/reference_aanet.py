"""The names and sizes of AANet's published weights, read into our network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from pe_nnunet.networks.reference import common_kernel, common_length, construct, load_reference, plain_weights

if TYPE_CHECKING:
    from pe_nnunet.networks.aanet import AANet

STAGES = 4  # of residual blocks, in the published network


def load_aanet(cls: type[AANet], state_dict: Mapping[str, Tensor]) -> AANet:
    """The network with these weights, in evaluation mode, its sizes read off their shapes.

    Args:
        cls: The class to build.
        state_dict: Weights under the published names, possibly each with the prefix `module.`.

    Raises:
        ConfigurationError: If entries are missing, unknown or of the wrong shape; it names them.
    """
    weights = plain_weights(state_dict)
    steps = [r"segheadv?\.up_conv"] + [rf"block({i}_dw|{i}{i}_up)" for i in range(1, STAGES)]
    units = [r"in_conv|in_dw|segheadv?\.seg_output"] + [
        rf"block({i}|{i}{i}|{i}{i}_res)\.conv\.\d+\.conv\d" for i in range(1, STAGES + 1)
    ]
    network = construct(
        cls,
        common_length(weights, "in_conv.conv.weight", axis=1),
        2,
        n_stages=STAGES + 1,
        features_per_stage=[
            common_length(weights, "in_conv."),
            *(
                common_length(weights, (f"block{i}.", f"block{i}{i}.", f"block{i}{i}_res."))
                for i in range(1, STAGES + 1)
            ),
        ],
        kernel_sizes=[common_kernel(weights, rf"({name})(\.conv)?\.weight", 3) for name in units],
        strides=[(1, 1, 1), *(common_kernel(weights, rf"{name}\.conv\.weight", 3, odd=False) for name in steps)],
        encoder_blocks=[_count(weights, f"block{i}") for i in range(1, STAGES + 1)],
        decoder_blocks=[_count(weights, f"block{i}{i}") for i in range(1, STAGES)],
        aspp_features=common_length(weights, "aspp."),
        head_features=common_length(weights, ("seghead.up_conv.norm.", "segheadv.up_conv.norm.")),
    )
    blocks = dict(_prefixes())
    load_reference(network, weights, {name: _foreign_name(name, blocks) for name in network.state_dict()})
    return network


def _count(weights: Mapping[str, Tensor], stage: str) -> int:
    numbers = [int(match[1]) for name in weights if (match := re.match(rf"{stage}\.conv\.(\d+)\.", name))]
    return max(numbers, default=0) + 1


def _prefixes() -> Iterator[tuple[str, str]]:
    yield "encoder.stem", "in_conv"
    yield "encoder.steps.0", "in_dw"
    for i in range(1, STAGES):
        yield f"encoder.steps.{i}", f"block{i}_dw"
    for i in range(STAGES):
        yield f"encoder.stages.{i}", f"block{i + 1}.conv"
    for k, i in enumerate(range(STAGES - 1, 0, -1)):
        yield f"decoder.levels.{k}.up", f"block{i}{i}_up"
        yield f"decoder.levels.{k}.skip", f"block{i}{i}_res.conv.0"
        yield f"decoder.levels.{k}.blocks", f"block{i}{i}.conv"
        yield f"decoder.reductions.{k}", f"block{i + 1}{i + 1}_aspp.conv"
    for i in range(5):
        yield f"decoder.aspp.branches.{i}", f"aspp.aspp{i}"
    yield "decoder.aspp.join", "aspp.transition"
    for i, head in enumerate(("segheadv", "seghead")):  # v for vessel
        yield f"decoder.seg_layers.{i}.up", f"{head}.up_conv"
        yield f"decoder.seg_layers.{i}.out", f"{head}.seg_output"


def _foreign_name(name: str, prefixes: Mapping[str, str]) -> str:
    """The longest known beginning is exchanged, and the parts of residual blocks get their old names."""
    own = max((prefix for prefix in prefixes if name.startswith(f"{prefix}.")), key=len)
    rest = name[len(own) :]
    for ours, theirs in ((".first.", ".conv1."), (".second.", ".conv2."), (".shortcut.", ".res.")):
        rest = rest.replace(ours, theirs)
    return prefixes[own] + rest
