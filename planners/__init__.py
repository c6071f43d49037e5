"""nnU-Net experiment planners, one for each network of the table; nnU-Net finds them by name.

A planner that adds something has a file of its own. The others, `PETARUNetPlanner` and its like, are `PEPlanner` with
their network, and classes of this module from when they are first asked for.
"""

from __future__ import annotations

from functools import partial

from pe_nnunet.lazy import on_first_use
from pe_nnunet.networks import NETWORKS, NetworkEntry

__all__ = ["PEFingerprintExtractor", "PEPlanner", *(entry.planner for entry in NETWORKS.values())]


def _make(entry: NetworkEntry) -> type:
    from pe_nnunet.planners.base import PEPlanner

    attributes = {
        "__module__": __name__,
        "__doc__": f"Plans `3d_fullres` and `2d` for {entry.name}, as {entry.plans}.",
        "network_class": entry.load(),
        "default_plans_name": entry.plans,
    }
    return type(entry.planner, (PEPlanner,), attributes)


__getattr__ = on_first_use(
    __name__,
    {"PEFingerprintExtractor": "fingerprint", "PEPlanner": "base"}
    | {entry.planner: entry.module for entry in NETWORKS.values() if entry.own_planner},
    {entry.planner: partial(_make, entry) for entry in NETWORKS.values() if not entry.own_planner},
)
