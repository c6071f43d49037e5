"""nnU-Net trainers: the recipe, and one trainer a network over it; nnU-Net finds them by name.

A trainer that adds something has a file of its own. The others, `PETARUNetTrainer` and its like, are `PETrainer` with
their network, and classes of this module from when they are first asked for.
"""

from __future__ import annotations

from functools import partial

from pe_nnunet.lazy import on_first_use
from pe_nnunet.networks import NETWORKS, NetworkEntry

__all__ = ["PETrainer", *(entry.trainer for entry in NETWORKS.values())]


def _make(entry: NetworkEntry) -> type:
    from pe_nnunet.trainers.base import PETrainer

    attributes = {
        "__module__": __name__,
        "__doc__": f"Trains {entry.name}, from `{entry.plans}` or any other plans, `nnUNetPlans` included.",
        "network_class": entry.load(),
    }
    return type(entry.trainer, (PETrainer,), attributes)


__getattr__ = on_first_use(
    __name__,
    {"PETrainer": "base"} | {entry.trainer: entry.module for entry in NETWORKS.values() if entry.own_trainer},
    {entry.trainer: partial(_make, entry) for entry in NETWORKS.values() if not entry.own_trainer},
)
