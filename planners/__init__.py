"""nnU-Net experiment planners, one for each network of the table; nnU-Net finds them by name.

A planner that adds something has a file of its own. The others, `PETARUNetPlanner` and its like, are `PEPlanner` with
their network, and classes of this module from when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.lazy import on_first_use
from pe_nnunet.networks import NETWORKS

if TYPE_CHECKING:
    from pe_nnunet.planners.base import PEPlanner

_MADE_HERE = {entry.planner: entry for entry in NETWORKS.values() if not entry.own_planner}
_from_file = on_first_use(
    __name__, {"PEPlanner": "base"} | {entry.planner: entry.module for entry in NETWORKS.values() if entry.own_planner}
)

__all__ = ["PEPlanner", *(entry.planner for entry in NETWORKS.values())]


def __getattr__(name: str) -> type[PEPlanner]:
    if name not in _MADE_HERE:
        found: type[PEPlanner] = _from_file(name)
        return found
    from pe_nnunet.planners.base import PEPlanner

    entry = _MADE_HERE[name]
    attributes = {
        "__module__": __name__,
        "__doc__": f"Plans `3d_fullres` and `2d` for {entry.name}, as {entry.plans}.",
        "network_class": entry.load(),
        "default_plans_name": entry.plans,
    }
    made: type[PEPlanner] = globals().setdefault(name, type(name, (PEPlanner,), attributes))
    return made
