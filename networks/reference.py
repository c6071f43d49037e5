"""Loading weights that carry other authors' names, with every entry accounted for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pe_nnunet.errors import ConfigurationError

PREFIX = "module."  # put in front of every name by torch's DataParallel
SHOWN = 8
ADVICE = "give the complete state dict of the original network, and no other"

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def plain_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict, found to hold tensors by name, without the prefix that DataParallel puts in front of all names.

    Raises:
        ConfigurationError: If it is no mapping of names to tensors; it names the first entries that are not.
    """
    if not isinstance(state_dict, Mapping):
        raise _no_state_dict(f"got {type(state_dict).__name__}")
    others = [str(name) for name, value in state_dict.items() if not (isinstance(name, str) and torch.is_tensor(value))]
    if others:
        raise _no_state_dict(f"these entries are no tensors: {_shortened(others)}")
    weights = dict(state_dict)
    while prefixed := [name for name in weights if name.startswith(PREFIX)]:
        if len(prefixed) < len(weights):  # no name of an original begins like that
            plain = [name for name in weights if not name.startswith(PREFIX)]
            raise mismatch(unknown=min(prefixed, plain, key=len))
        weights = {name[len(PREFIX) :]: value for name, value in weights.items()}
    return weights


def common_length(weights: Mapping[str, Tensor], prefix: str | tuple[str, ...], axis: int = 0) -> int:
    """The length that most entries under a prefix have along an axis; one misshapen entry does not change it.

    Args:
        weights: Weights by name.
        prefix: Beginning of the names that are looked at, or several beginnings.
        axis: Entries without that axis are left out.

    Raises:
        ConfigurationError: If there is no such entry, or if it is empty.
    """
    lengths = Counter(
        value.shape[axis] for name, value in weights.items() if name.startswith(prefix) and value.dim() > axis
    )
    shown = prefix if isinstance(prefix, str) else prefix[0]
    if not lengths:
        raise mismatch(missing=[f"{shown}*" if shown.endswith(".") else shown])
    length = int(lengths.most_common(1)[0][0])
    if length == 0:
        raise mismatch(misshapen=[f"{shown}* of length 0"])
    return length


def common_kernel(weights: Mapping[str, Tensor], pattern: str, axes: int, *, odd: bool = True) -> tuple[int, ...]:
    """The kernel size that most convolutions have whose names match; 3 per axis, or 2 if not odd, where none does.

    Args:
        weights: Weights by name.
        pattern: Regular expression that the whole name matches.
        axes: Number of spatial axes.
        odd: Whether kernels with even edges are taken for misshapen and left out.
    """
    kernels = Counter(
        tuple(value.shape[2:])
        for name, value in weights.items()
        if value.dim() == axes + 2 and re.fullmatch(pattern, name)
    )
    for kernel, _ in kernels.most_common():
        if all(k > 0 and (k % 2 or not odd) for k in kernel):
            return kernel
    return (3 if odd else 2,) * axes


def construct(cls: Callable[..., NetworkT], *args: Any, **sizes: Any) -> NetworkT:
    """The network of the sizes that shapes tell.

    Raises:
        ConfigurationError: If there is none of those sizes.
    """
    try:
        return cls(*args, **sizes)
    except ValueError as error:
        raise ConfigurationError(
            "PE-NET-001", f"the weights' shapes do not describe this network ({error})", ADVICE
        ) from error


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
        f"{what}: {_shortened(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("wrong shape", misshapen))
        if names
    ]
    return ConfigurationError(
        "PE-NET-001",
        f"the weights do not describe this network ({'; '.join(found)})",
        ADVICE,
    )


def _no_state_dict(what: str) -> ConfigurationError:
    return ConfigurationError(
        "PE-NET-001", f"a state dict maps names to tensors, {what}", "give what state_dict() of the network returns"
    )


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _joined_shape(group: Sequence[Tensor]) -> tuple[int, ...]:
    if len(group) == 1:
        return tuple(group[0].shape)
    first = group[0].shape
    return (first[0], sum(part.shape[1] for part in group), *first[2:])
