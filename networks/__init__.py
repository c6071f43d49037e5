"""Network architectures: for nnU-Net's plans in 2D and 3D, and equal to the originals where those exist."""

from __future__ import annotations

from pe_nnunet.networks.base import SegmentationNetwork
from pe_nnunet.networks.tar_unet import TARUNet

__all__ = ["SegmentationNetwork", "TARUNet", "list_networks"]

NETWORKS: dict[str, type[SegmentationNetwork]] = {network.__name__: network for network in (TARUNet,)}


def list_networks() -> dict[str, type[SegmentationNetwork]]:
    """All networks by name, each constructible by nnU-Net as `pe_nnunet.networks.<module>.<name>`."""
    return dict(NETWORKS)
