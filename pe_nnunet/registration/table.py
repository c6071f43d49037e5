"""The classes that nnU-Net looks up by name, and their modules; a new planner or trainer is one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

PLANNERS: dict[str, str] = {
    "PETARUNetPlanner": "pe_nnunet.planners.tar_unet",
    "PEAttentionUNetPlanner": "pe_nnunet.planners.attention_unet",
    "PEAANetPlanner": "pe_nnunet.planners.aanet",
    "PER2UNetPlanner": "pe_nnunet.planners.r2_unet",
    "PEAttentionR2UNetPlanner": "pe_nnunet.planners.attention_r2_unet",
    "PENestedUNetPlanner": "pe_nnunet.planners.nested_unet",
}
TRAINERS: dict[str, str] = {
    "PETrainer": "pe_nnunet.trainers.base",
    "PETARUNetTrainer": "pe_nnunet.trainers.tar_unet",
    "PEAttentionUNetTrainer": "pe_nnunet.trainers.attention_unet",
    "PEAANetTrainer": "pe_nnunet.trainers.aanet",
    "PER2UNetTrainer": "pe_nnunet.trainers.r2_unet",
    "PEAttentionR2UNetTrainer": "pe_nnunet.trainers.attention_r2_unet",
    "PENestedUNetTrainer": "pe_nnunet.trainers.nested_unet",
}
CLASSES: dict[str, str] = PLANNERS | TRAINERS


def load_class(name: str) -> Any:
    """The class of that name.

    Args:
        name: A key of `CLASSES`.

    Raises:
        KeyError: If the name is not in the table.
    """
    return getattr(import_module(CLASSES[name]), name)
