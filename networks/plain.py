"""The function of a network with torch's own modules alone, for exporters."""

from __future__ import annotations

from copy import deepcopy

from torch import nn


def plain_copy(network: nn.Module) -> nn.Module:
    """A copy in which modules that compute something of their own, and say what of torch's equals them, are replaced.

    A module says so by a method `plain`, which returns the module of torch; weights that are computed on each use are
    computed once there.

    Args:
        network: Whose weights will not change any more; it stays as it is.
    """
    copied = deepcopy(network)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if callable(plain := getattr(child, "plain", None)):
                setattr(module, name, plain())
    return copied.eval()
