"""A step of the segmenter's training on made-up numbers: what it costs, not what it learns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from pe_nnunet.networks import TARUNet
from pe_nnunet.planners.asked import AskedPlan
from pe_nnunet.planners.topology import NAMED_CLASSES, plan_topology, u_shaped_kwargs
from pe_nnunet.precision import autocast_for, channels_last, channels_last_format
from pe_nnunet.trainers.muon import Muon

IMAGE = (64, 64, 64)  # voxels of a scan, at least: as many poolings as asked for
DEFAULT_PATCH, DEFAULT_BATCH, DEFAULT_WIDTH = (32, 32, 32), 2, 16
ROTATION = (-np.pi / 6, np.pi / 6)


def segmenter_step(asked_plan: str, device: str) -> Callable[[], None]:
    """A training step with nnU-Net's augmentation of its patches.

    Args:
        asked_plan: Network, patch and batch, as in `PE_NNUNET_PLAN`.
        device: Where the network runs.

    Returns:
        To be called for each step.
    """
    asked = AskedPlan.parsed(asked_plan)
    patch, batch = asked.patch_size_3d or DEFAULT_PATCH, asked.batch_size_3d or DEFAULT_BATCH
    network = _network(asked).to(device)
    optimizer = Muon(network.parameters(), 1e-3, 0.0)
    outer = [int(side) for side in get_patch_size(patch, ROTATION, ROTATION, ROTATION, (0.85, 1.25))]
    augment = nnUNetTrainer.get_training_transforms(patch, ROTATION, None, (0, 1, 2), False)
    image, labels = torch.randn(1, *outer), torch.zeros(1, *outer, dtype=torch.int16)
    where = torch.device(device)

    def step() -> None:
        patches = torch.stack([augment(image=image, segmentation=labels)["image"] for _ in range(batch)])
        given = patches.to(where, memory_format=channels_last_format(3))
        optimizer.zero_grad(set_to_none=True)
        with autocast_for(where):
            outputs = network(given)
        torch.stack([output.float().square().mean() for output in outputs]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if where.type == "cuda":
            torch.cuda.synchronize()

    return step


def _network(asked: AskedPlan) -> torch.nn.Module:
    topology = plan_topology((1.0, 1.0, 1.0), IMAGE, asked.poolings or TARUNet.n_poolings)
    kwargs = u_shaped_kwargs(topology, asked.width or DEFAULT_WIDTH)
    if asked.first_width is not None:
        kwargs["features_per_stage"][0] = asked.first_width
    options = ("poolings", "width", "first_width", *TARUNet.plan_options)
    kwargs |= asked.network_kwargs(options, len(topology.strides), TARUNet.__name__)
    name = f"{TARUNet.__module__}.{TARUNet.__name__}"
    network = get_network_from_plans(name, kwargs, NAMED_CLASSES, 1, 2, deep_supervision=True)
    return channels_last(network, 3)
