"""The batch size that a recipe asks for, in place of the plans', and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import distributed

from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.networks import SegmentationNetwork
from pe_nnunet.planners.memory import GIB, RESERVE_GIB, training_bytes

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer


def use_batch_size(trainer: PETrainer, asked: int) -> None:
    """Train with so many patches a step; the plans, as they are stored with the model, stay what they are.

    Args:
        trainer: Not initialised yet.
        asked: Over all processes; 0 for what the plans say.

    Raises:
        ConfigurationError: PE-TRAIN-021 if there are more processes than patches.
    """
    configuration = trainer.configuration_manager.configuration
    trainer.planned_batch_size = int(configuration["batch_size"])
    configuration["batch_size"] = batch = asked or trainer.planned_batch_size
    processes = distributed.get_world_size() if trainer.is_ddp else 1
    if batch < processes:
        raise ConfigurationError(
            "PE-TRAIN-021",
            f"{batch} patches a step for {processes} processes",
            "set batch_size in PE_NNUNET_RECIPE to their number or more, or take fewer -num_gpus",
        )


def say_batch_size(trainer: PETrainer) -> None:
    """Log a batch size that is not the plans', with what a step needs in memory, where that is known.

    Args:
        trainer: With its network.
    """
    batch, planned = trainer.configuration_manager.batch_size, trainer.planned_batch_size
    if batch == planned:
        return
    network, patch = trainer.bare_network(), trainer.configuration_manager.patch_size
    line = f"{batch} patches a step by the recipe, {planned} in the plans"
    if not isinstance(network, SegmentationNetwork):
        trainer.print_to_log_file(f"{line}: activations take {batch / planned:.2g} times the memory")
        return
    needed = training_bytes(network, patch, trainer.batch_size) + RESERVE_GIB * GIB
    trainer.print_to_log_file(f"{line}: about {needed / GIB:.2f} GiB for the {trainer.batch_size} of this process")
    if trainer.device.type == "cuda":
        there = torch.cuda.get_device_properties(trainer.device).total_memory
        if needed > there:
            text = f"about {needed / GIB:.1f} GiB are needed, the device has {there / GIB:.1f}: batch_size is too large"
            trainer.print_to_log_file(str(Note("PE-TRAIN-021", "warning", text)))
