"""Network architectures: for nnU-Net's plans in 2D and 3D, and equal to the originals where those exist.

`NETWORKS` is the one table of them: a network is a file of this package and a line there. From the line follow its
planner, its trainer, its plans, what nnU-Net's look-up and `pe-nnunet doctor` know, and what prediction builds.

`import torch` loads this module through an entry point, so it imports nothing heavy: networks come on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pe_nnunet.networks.base import SegmentationNetwork


class NetworkEntry(NamedTuple):
    """One network, and the names under which nnU-Net knows what belongs to it.

    Attributes:
        name: Of its class.
        module: The file of this package that has the class.
        own_planner: Whether `planners/<module>.py` has its planner; else that is `PEPlanner` for this network.
        own_trainer: Whether `trainers/<module>.py` has its trainer; else that is `PETrainer` with this network.
    """

    name: str
    module: str
    own_planner: bool = False
    own_trainer: bool = False

    @property
    def planner(self) -> str:
        """The name of its planner's class."""
        return f"PE{self.name}Planner"

    @property
    def trainer(self) -> str:
        """The name of its trainer's class."""
        return f"PE{self.name}Trainer"

    @property
    def plans(self) -> str:
        """What its planner calls its plans."""
        return f"PE{self.name}Plans"

    @property
    def path(self) -> str:
        """Where plans say that the class is."""
        return f"{__name__}.{self.module}.{self.name}"

    def load(self) -> type[SegmentationNetwork]:
        """The class."""
        found: type[SegmentationNetwork] = getattr(import_module(f"{__name__}.{self.module}"), self.name)
        return found


NETWORKS: dict[str, NetworkEntry] = {
    entry.name: entry
    for entry in (
        NetworkEntry("TARUNet", "tar_unet"),
        NetworkEntry("AttentionUNet", "attention_unet"),
        NetworkEntry("AANet", "aanet", own_planner=True, own_trainer=True),
        NetworkEntry("R2UNet", "r2_unet"),
        NetworkEntry("AttentionR2UNet", "attention_r2_unet"),
        NetworkEntry("NestedUNet", "nested_unet"),
    )
}

__all__ = ["NETWORKS", "NetworkEntry", "SegmentationNetwork", "list_networks", *NETWORKS]


def list_networks() -> dict[str, type[SegmentationNetwork]]:
    """All networks by name, each constructible by nnU-Net as `pe_nnunet.networks.<module>.<name>`."""
    return {name: entry.load() for name, entry in NETWORKS.items()}


def __getattr__(name: str) -> Any:
    if name in NETWORKS:
        return NETWORKS[name].load()
    if name == "SegmentationNetwork":
        return getattr(import_module(f"{__name__}.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
