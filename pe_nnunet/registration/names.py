"""The classes that nnU-Net looks up by name, and the packages that have them; all follow from the table of networks."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pe_nnunet.networks import NETWORKS

PLANNERS: dict[str, str] = {entry.planner: "pe_nnunet.planners" for entry in NETWORKS.values()}
TRAINERS: dict[str, str] = dict.fromkeys(
    ["PETrainer", *(entry.trainer for entry in NETWORKS.values())], "pe_nnunet.trainers"
)
CLASSES: dict[str, str] = PLANNERS | TRAINERS


def load_class(name: str) -> Any:
    """The class of that name.

    Args:
        name: A key of `CLASSES`.

    Raises:
        KeyError: If the name is not in the table.
    """
    return getattr(import_module(CLASSES[name]), name)
