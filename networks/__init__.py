"""Network architectures: for nnU-Net's plans in 2D and 3D, and equal to the originals where those exist."""

from __future__ import annotations

from pe_nnunet.networks.aanet import AANet
from pe_nnunet.networks.attention_r2_unet import AttentionR2UNet
from pe_nnunet.networks.attention_unet import AttentionUNet
from pe_nnunet.networks.base import SegmentationNetwork
from pe_nnunet.networks.nested_unet import NestedUNet
from pe_nnunet.networks.r2_unet import R2UNet
from pe_nnunet.networks.tar_unet import TARUNet

__all__ = [
    "AANet",
    "AttentionR2UNet",
    "AttentionUNet",
    "NestedUNet",
    "R2UNet",
    "SegmentationNetwork",
    "TARUNet",
    "list_networks",
]

NETWORKS: dict[str, type[SegmentationNetwork]] = {
    network.__name__: network for network in (TARUNet, AttentionUNet, AANet, R2UNet, AttentionR2UNet, NestedUNet)
}


def list_networks() -> dict[str, type[SegmentationNetwork]]:
    """All networks by name, each constructible by nnU-Net as `pe_nnunet.networks.<module>.<name>`."""
    return dict(NETWORKS)
