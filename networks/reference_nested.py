"""The names and sizes of CTISPED's Nested U-Net weights, read into our network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from pe_nnunet.networks.reference import construct, load_reference, plain_weights
from pe_nnunet.networks.reference_unets import block_prefixes, count_stages, foreign_name, reference_sizes

if TYPE_CHECKING:
    from pe_nnunet.networks.nested_unet import NestedUNet


def load_nested(cls: type[NestedUNet], state_dict: Mapping[str, Tensor]) -> NestedUNet:
    """The network with these weights, its sizes read off their shapes.

    Args:
        cls: The class to build.
        state_dict: Weights under the original's names.

    Raises:
        ConfigurationError: If entries are missing, unknown or of the wrong shape; it names them.
    """
    weights = plain_weights(state_dict)
    n_stages = count_stages(weights)
    network = construct(cls, **reference_sizes(weights, n_stages), n_heads=n_stages - 1)
    prefixes = dict(_prefixes(n_stages))
    load_reference(network, weights, {name: foreign_name(name, prefixes) for name in network.state_dict()})
    return network


def _prefixes(n_stages: int) -> Iterator[tuple[str, str]]:
    for i in range(n_stages):
        yield from block_prefixes(f"encoder.stages.{i}", f"conv{i}_0")
    for j in range(1, n_stages):
        for i in range(n_stages - j):
            yield from block_prefixes(f"decoder.nodes.{i}_{j}.convs", f"conv{i}_{j}")
    for k in range(n_stages - 1):
        yield f"decoder.seg_layers.{k}", f"final{n_stages - 1 - k}"
