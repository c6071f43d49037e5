"""The arms of `equal_budget.py`: what is trained, and why."""

from __future__ import annotations

from dataclasses import dataclass

Member = tuple[str, str, str]
"""Trainer, plans, recipe."""


@dataclass(frozen=True)
class Arm:
    """One line of the table.

    Attributes:
        members: Models that share the time; their probabilities are averaged.
        text: For people.
        group: Which comparison it belongs to.
    """

    members: tuple[Member, ...]
    text: str
    group: str


OURS, PLANS = "PETARUNetTrainer", "PETARUNetPlans"
ATTENTION = ("PEAttentionUNetTrainer", "PEAttentionUNetPlans", "")
PLAIN = ("PETrainer", "nnUNetPlans", "")


def _without(text: str, recipe: str) -> Arm:
    return Arm(((OURS, PLANS, recipe),), text, "ablation")


ARMS: dict[str, Arm] = {
    "stock": Arm((("nnUNetTrainer", "nnUNetPlans", ""),), "nnU-Net: its trainer, its plans", "main"),
    "stock-tar": Arm((("nnUNetTrainer", PLANS, ""),), "nnU-Net's trainer, TAR-UNet and its plans", "main"),
    "ours": Arm(((OURS, PLANS, ""),), "PETARUNetTrainer", "main"),
    "plain-unet": Arm((PLAIN,), "PETrainer on nnU-Net's U-Net", "ensemble"),
    "attention": Arm((ATTENTION,), "Attention U-Net", "ensemble"),
    "ensemble": Arm(((OURS, PLANS, ""), ATTENTION), "TAR-UNet and Attention U-Net, half the time each", "ensemble"),
    "no-focal": _without("cross-entropy instead of focal", "focal_gamma=0 focal_foreground_weight=0.5"),
    "no-ratio": _without("cases drawn alike", "case_ratio_power=0"),
    "p-0": _without("emboli drawn alike (p = 0)", "embolus_volume_power=0"),
    "p-1": _without("emboli drawn by voxel (p = 1)", "embolus_volume_power=1"),
    "no-ema": _without("no moving average", "ema_decay=0"),
    "strict": _without("strict share of positive patches", "strict_positives=yes"),
    "replicate": _without("with replicated emboli", "replicate_probability=0.5 replicate_below_ratio=0.01"),
    "concatenate": _without("with joined patches", "concatenate_probability=0.5 concatenate_below_ratio=0.01"),
    "little-cases": _without("first fifth on four cases", "little_start_epochs=4 little_start=cases"),
    "little-patches": _without("first fifth on growing patches", "little_start_epochs=4 little_start=patches"),
}
REFERENCE = {"main": "ours", "ensemble": "ensemble", "ablation": "ours"}
