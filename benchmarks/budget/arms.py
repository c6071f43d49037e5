"""The arms of the comparison: what is trained, by which plans and recipe, for which share of the time."""

from __future__ import annotations

from dataclasses import dataclass, field

RECIPE = {"learning_rate": "2e-3", "test_time_mirroring": "no"}
OURS, ATTENTION, STOCK = "PETARUNet", "PEAttentionUNet", "nnUNet"


@dataclass(frozen=True)
class Arm:
    """One way to spend the time.

    Attributes:
        name: In tables and folders.
        trainer: Class name.
        plans: Name of the plans, whose planner is in `PLANNERS`.
        recipe: Keys on top of `RECIPE`; nnU-Net's own trainer has none.
        share: Of the minutes.
        members: Names of the arms whose probabilities are averaged; such an arm trains nothing itself.
        margin_mm: Around the lungs, of data and of prediction.
        group: The question that it answers.
        reference: The arm that it is compared with.
    """

    name: str
    trainer: str = f"{OURS}Trainer"
    plans: str = f"{OURS}Plans"
    recipe: dict[str, str] = field(default_factory=dict)
    share: float = 1.0
    members: tuple[str, ...] = ()
    margin_mm: float = 10.0
    group: str = "main"
    reference: str = "stock, own plans"


PLANNERS = {
    "nnUNetPlans": "ExperimentPlanner",
    f"{OURS}Plans": f"{OURS}Planner",
    f"{ATTENTION}Plans": f"{ATTENTION}Planner",
}


def _without(part: str, margin_mm: float = 10.0, **recipe: str) -> Arm:
    return Arm(f"{OURS}, {part}", recipe=recipe, margin_mm=margin_mm, group="parts", reference=OURS)


ARMS = {
    arm.name: arm
    for arm in (
        Arm("stock, own plans", "nnUNetTrainer", "nnUNetPlans"),
        Arm("stock, PETARUNetPlans", "nnUNetTrainer"),
        Arm(OURS),
        Arm("U-Net", "PETrainer", "nnUNetPlans", group="ensemble", reference="U-Net"),
        Arm("TAR-UNet, half the time", share=0.5, group="ensemble", reference="U-Net"),
        Arm(
            "Attention U-Net, half the time",
            f"{ATTENTION}Trainer",
            f"{ATTENTION}Plans",
            share=0.5,
            group="ensemble",
            reference="U-Net",
        ),
        Arm(
            "both of these",
            members=("TAR-UNet, half the time", "Attention U-Net, half the time"),
            group="ensemble",
            reference="U-Net",
        ),
        _without("cross-entropy for focal", focal_gamma="0", focal_foreground_weight="0.5"),
        _without("cases drawn alike", case_ratio_power="0"),
        _without("emboli drawn alike (p = 0)", embolus_volume_power="0"),
        _without("emboli drawn by voxel (p = 1)", embolus_volume_power="1"),
        _without("a third of positive patches", positive_fraction="0.33"),
        _without("no hard negatives", hard_negative_fraction="0"),
        _without("no moving average", ema_decay="0"),
        _without("patches joined", concatenate_probability="0.5", concatenate_below_ratio="0.01"),
        _without("emboli replicated", replicate_probability="0.5", replicate_below_ratio="0.01"),
        _without("first fifth on four cases", little_start_epochs="4", curriculum="cases"),
        _without("first fifth on growing patches", little_start_epochs="4", curriculum="patches"),
        _without("strict share of positive patches", strict_positives="yes"),
        _without("no crop", margin_mm=1000.0),
    )
}
