"""Loading weights that carry other authors' names, with every entry accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from pe_nnunet.errors import ConfigurationError

PREFIX = "module."  # put in front of every name by torch's DataParallel
SHOWN = 8


def without_prefix(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the prefix that DataParallel puts in front of every name."""
    if state_dict and all(name.startswith(PREFIX) for name in state_dict):
        return {name[len(PREFIX) :]: value for name, value in state_dict.items()}
    return dict(state_dict)


def common_length(state_dict: Mapping[str, Tensor], prefix: str, axis: int = 0) -> int:
    """The length that most entries under a prefix have along an axis; one misshapen entry does not change it.

    Args:
        state_dict: Weights by name.
        prefix: Beginning of the names that are looked at.
        axis: Entries without that axis are left out.

    Raises:
        ConfigurationError: If there is no such entry.
    """
    lengths = Counter(
        value.shape[axis] for name, value in state_dict.items() if name.startswith(prefix) and value.dim() > axis
    )
    if not lengths:
        raise mismatch(missing=[f"{prefix}*" if prefix.endswith(".") else prefix])
    return int(lengths.most_common(1)[0][0])


def load_reference(
    network: nn.Module, state_dict: Mapping[str, Tensor], names: Mapping[str, str], *, new: Iterable[str] = ()
) -> None:
    """Load weights under foreign names into a network, strictly, and set it to evaluation mode.

    Args:
        network: Receives the weights.
        state_dict: Weights by their foreign names.
        names: Foreign name per name of the network's own; several own entries under one foreign name are its parts
            along axis 1, in their order.
        new: Own names that the foreign network lacks; they keep their initial values.

    Raises:
        ConfigurationError: If entries are missing, unknown or of the wrong shape; it names them.
    """
    own = network.state_dict()
    parts: dict[str, list[str]] = {}
    for name in own:
        if name not in new:
            parts.setdefault(names[name], []).append(name)
    shapes = {foreign: _joined_shape([own[name] for name in group]) for foreign, group in parts.items()}
    misshapen = [
        f"{name} {tuple(state_dict[name].shape)} instead of {shape}"
        for name, shape in shapes.items()
        if name in state_dict and tuple(state_dict[name].shape) != shape
    ]
    missing = [name for name in shapes if name not in state_dict]
    unknown = [name for name in state_dict if name not in shapes]
    if missing or unknown or misshapen:
        raise mismatch(missing, unknown, misshapen)
    loaded = {name: own[name] for name in new}
    for foreign, group in parts.items():
        value = state_dict[foreign]
        widths = [own[name].shape[1] for name in group] if len(group) > 1 else []
        pieces = torch.split(value, widths, dim=1) if widths else [value]
        loaded.update(zip(group, pieces, strict=True))
    network.load_state_dict(loaded)
    network.eval()


def mismatch(
    missing: Sequence[str] = (), unknown: Sequence[str] = (), misshapen: Sequence[str] = ()
) -> ConfigurationError:
    """The error for a state dict that does not describe the network."""
    found = [
        f"{what}: {', '.join(names[:SHOWN])}" + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        for what, names in (("missing", missing), ("unknown", unknown), ("wrong shape", misshapen))
        if names
    ]
    return ConfigurationError(
        "PE-NET-001",
        f"the weights do not describe this network ({'; '.join(found)})",
        "give the complete state dict of the original network, and no other",
    )


def _joined_shape(group: Sequence[Tensor]) -> tuple[int, ...]:
    if len(group) == 1:
        return tuple(group[0].shape)
    first = group[0].shape
    return (first[0], sum(part.shape[1] for part in group), *first[2:])
