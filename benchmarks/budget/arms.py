"""The arms of the comparison: what is trained, by which trainer, plans, recipe and labels, for which share of a budget.

A new arm is a line in `ARMS`, a form of TAR-UNet one in `TAR_UNETS`; `CHOSEN` is the form that the goals are about.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

SHORT = "optimizer=muon learning_rate=2e-3"
"""`PE_NNUNET_RECIPE` of our trainers here: trainings of minutes."""

ADAMW = SHORT.replace("muon", "adamw")

TAR_UNETS = {
    "published": "poolings=3 units=2 recurrence=2 attention=yes residual=yes",
    "plain at full resolution": "poolings=3 units=1,2 recurrence=0,2",
    "light": "poolings=4 units=1,2 recurrence=0 first_width=8",
}
"""`PE_NNUNET_PLAN` of each form of TAR-UNet."""

CHOSEN = "published"

STOCK, RESENC = "ExperimentPlanner", "nnUNetPlannerResEncM"
STOCK_PLANS = {STOCK: "nnUNetPlans", RESENC: "nnUNetResEncUNetMPlans"}


@dataclass(frozen=True)
class Arm:
    """One way to spend the budget.

    Attributes:
        name: In tables and folders.
        trainer: Class name.
        planner: Class name.
        plan: `PE_NNUNET_PLAN` of our planners.
        recipe: `PE_NNUNET_RECIPE` of our trainers; of nnU-Net's own `learning_rate` alone counts.
        scheme: Labels that it is trained on, as of `pe-nnunet convert --scheme`.
        margin_mm: Around the lungs, of data and of prediction.
        share: Of the budget.
        members: Names of the arms whose probabilities are averaged, by weights chosen on validation scans; such an arm
            trains nothing itself.
        group: The question that it answers.
    """

    name: str
    trainer: str = ""
    planner: str = ""
    plan: str = ""
    recipe: str = ""
    scheme: str = "pe"
    margin_mm: float = 10.0
    share: float = 1.0
    members: tuple[str, ...] = ()
    group: str = "main"

    @property
    def plans(self) -> str:
        """Name of its plans, another one for each `plan`."""
        plans = STOCK_PLANS.get(self.planner) or f"{self.planner.removesuffix('Planner')}Plans"
        return "-".join([plans, *re.findall(r"[A-Za-z0-9.]+", self.plan)])

    def definition(self) -> dict[str, Any]:
        """What results are of, in JSON's types; of an ensemble with its members."""
        members = [ARMS[name].definition() for name in self.members]
        return {key: value for key, value in asdict(self).items() if key != "group"} | {"members": members}


def _tar_unet(name: str, plan: str = TAR_UNETS[CHOSEN], recipe: str = SHORT, **changed: Any) -> Arm:
    return Arm(name, "PETARUNetTrainer", "PETARUNetPlanner", plan, recipe, **changed)


def _part(part: str, recipe: str = "", **changed: Any) -> Arm:
    return _tar_unet(f"{TAR_UNET}, {part}", recipe=f"{SHORT} {recipe}".strip(), group="recipe", **changed)


TAR_UNET = f"TAR-UNet, {CHOSEN}"
STOCK_ARMS = ("stock, nnUNetPlans", "stock, ResEnc-M")
OUR_STOCK_PLANS = ("PETrainer, nnUNetPlans", "PETrainer, ResEnc-M")
HALVES = (f"{TAR_UNET}, half", "Attention U-Net, half", "PETrainer, ResEnc-M, half")
ENSEMBLE, ENSEMBLE_RESENC = "TAR-UNet + Attention U-Net", "TAR-UNet + ResEnc-M"

ARMS = {
    arm.name: arm
    for arm in (
        Arm(STOCK_ARMS[0], "nnUNetTrainer", STOCK),
        Arm(STOCK_ARMS[1], "nnUNetTrainer", RESENC),
        Arm(OUR_STOCK_PLANS[0], "PETrainer", STOCK, recipe=SHORT),
        Arm(OUR_STOCK_PLANS[1], "PETrainer", RESENC, recipe=SHORT),
        *(_tar_unet(f"TAR-UNet, {form}", plan) for form, plan in TAR_UNETS.items()),
        *(_tar_unet(f"TAR-UNet, {form}, AdamW", plan, ADAMW) for form, plan in TAR_UNETS.items()),
        _tar_unet(  # more steps of smaller patches, where the planner would fill the memory target with larger ones
            "TAR-UNet, plain at full resolution, patches of 32, not mirrored",
            f"{TAR_UNETS['plain at full resolution']} patch=32,32,32 batch=2",
            f"{SHORT} training_mirroring=none",
        ),
        Arm("Attention U-Net", "PEAttentionUNetTrainer", "PEAttentionUNetPlanner", recipe=SHORT),
        _tar_unet(f"{TAR_UNET}, arteries too", scheme="artery-pe"),
        _tar_unet(HALVES[0], share=0.5),
        Arm(HALVES[1], "PEAttentionUNetTrainer", "PEAttentionUNetPlanner", recipe=SHORT, share=0.5),
        Arm(HALVES[2], "PETrainer", RESENC, recipe=SHORT, share=0.5),
        Arm(ENSEMBLE, members=HALVES[:2]),
        Arm(ENSEMBLE_RESENC, members=(HALVES[0], HALVES[2])),
        _part("cross-entropy for focal", "focal_gamma=0 focal_foreground_weight=0.5"),
        _part("emboli weighed, not voxels", "embolus_weight_power=1"),
        _part("emboli weighed between both", "embolus_weight_power=0.5"),
        _part("cases drawn alike", "case_ratio_power=0"),
        _part("emboli drawn alike", "embolus_volume_power=0"),
        _part("emboli drawn by voxel", "embolus_volume_power=1"),
        _part("a third of positive patches", "positive_fraction=0.33"),
        _part("no hard negatives", "hard_negative_fraction=0"),
        _part("no moving average", "ema_decay=0"),
        _part("not mirrored", "training_mirroring=none"),
        _part("patches joined", "concatenate_probability=0.5 concatenate_below_ratio=0.01"),
        _part("emboli replicated", "replicate_probability=0.5 replicate_below_ratio=0.01"),
        _part("first fifth on four cases", "little_start_epochs=4 little_start=cases"),
        _part("first fifth on growing patches", "little_start_epochs=4 little_start=patches"),
        _part("strict share of positive patches", "strict_positives=yes"),
        _part("no crop", margin_mm=1000.0),
    )
}
