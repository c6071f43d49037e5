"""The weights of a network in a wider one of the same shape, which computes the same at first."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def grown_weights(narrow: Mapping[str, Tensor], wide: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put weights into those of a wider network.

    The channels that were there stay the first, and read nothing of the new ones; the new ones keep the random weights
    that they have, so that they learn something of their own (Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016, copies
    channels instead).

    Args:
        narrow: By name, of the trained network.
        wide: By name, of the new one; each tensor as long or longer along every axis.

    Returns:
        By name, in the shapes of `wide`.

    Raises:
        ValueError: If a name is missing on one side, or a tensor is shorter than what it is to take.
    """
    if narrow.keys() != wide.keys():
        raise ValueError(f"not the same layers: {', '.join(sorted(narrow.keys() ^ wide.keys())[:3])}")
    grown = {}
    for name, old in narrow.items():
        new = wide[name].detach().clone()
        if old.dim() != new.dim() or any(a > b for a, b in zip(old.shape, new.shape, strict=True)):
            raise ValueError(f"{name}: {tuple(old.shape)} does not fit into {tuple(new.shape)}")
        if old.dim() > 1:  # of a convolution: (out, in, ...)
            new[: len(old), old.shape[1] :] = 0
        new[tuple(map(slice, old.shape))] = old.to(new.dtype)
        grown[name] = new
    return grown
