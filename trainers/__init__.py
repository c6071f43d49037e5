"""nnU-Net trainers: the recipe, and one trainer a network over it; nnU-Net finds them by name.

A trainer that adds something has a file of its own. The others, `PETARUNetTrainer` and its like, are `NetworkTrainer`
with their network, and classes of this module from when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use
from pe_nnunet.networks import NETWORKS

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

_MADE_HERE = {entry.trainer: entry for entry in NETWORKS.values() if not entry.own_trainer}
_from_file = on_first_use(
    __name__, {"PETrainer": "base"} | {entry.trainer: entry.module for entry in NETWORKS.values() if entry.own_trainer}
)

__all__ = ["PETrainer", *(entry.trainer for entry in NETWORKS.values())]


def __getattr__(name: str) -> type[PETrainer]:
    if name not in _MADE_HERE:
        found: type[PETrainer] = _from_file(name)
        return found
    from pe_nnunet.trainers.network import NetworkTrainer

    entry = _MADE_HERE[name]
    attributes = {
        "__module__": __name__,
        "__doc__": f"Trains {entry.name}, from `{entry.plans}` or any other plans, `nnUNetPlans` included.",
        "network_class": entry.load(),
    }
    made: type[PETrainer] = globals().setdefault(name, type(name, (NetworkTrainer,), attributes))
    return made
