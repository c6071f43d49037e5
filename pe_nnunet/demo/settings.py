"""What the chain runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.recipe import TrainingRecipe

NETWORK = "patch=24,24,24 batch=2 poolings=3 first_width=8 width=12 recurrence=0"
"""`PE_NNUNET_PLAN` of the demo: a TAR-UNet whose step takes a core a fraction of a second in single precision."""

DETECTOR = DetectorSettings(
    model="yolov8n-p2",
    image_size=128,
    epochs=8,
    batch=8,
    slices_per_embolus=6,
    negative_share=0.3,
    overrides={"workers": 0},
)
"""Its output is fine, as emboli are five pixels wide. The epochs are those of a schedule, if there is one."""

PHANTOMS = ("--coarse", "--spacing", "3", "--min-embolus-mm3", "1000")
"""Options of `pe-nnunet phantom`: emboli that a network learns to see in minutes."""


@dataclass(frozen=True)
class DemoSettings:
    """What the chain runs on.

    Attributes:
        out: Everything is written below.
        studies: Folder of the user's own scans, one folder a case (`ct`, `emboli.nii.gz`); None makes phantoms.
        held_out: Cases of `studies` that are predicted instead of trained on; the last fifth if empty.
        dataset_id: nnU-Net's.
        train_scans: Phantoms to train on.
        test_scans: Phantoms to predict.
        seed: Of the phantoms to train on, the network and the detector; one more is that of the phantoms to predict.
        minutes: What the chain is to take; trainings are as long as that allows.
        memory_gb: The planner's memory target, where `network` leaves something to it.
        network: What is asked of the planner, as `PE_NNUNET_PLAN`.
        recipe: Training recipe, `key=value` pairs.
        epochs: Of the segmenter's training; None for a schedule that keeps to the minutes.
        detector: How the detector is trained; None does without one.
        detector_epochs: Of its training; None for a schedule that keeps to the minutes.
        min_embolus_mm3: Smaller findings are not kept; None chooses on the validation scans.
        device: Where the networks run: `cuda`, `mps` or `cpu`.

    Raises:
        ConfigurationError: if the recipe is none, which training would say after minutes.
    """

    out: Path
    studies: Path | None = None
    held_out: tuple[str, ...] = ()
    dataset_id: int = 501
    train_scans: int = 32
    test_scans: int = 8
    seed: int = 1
    minutes: float = 8.5
    memory_gb: float = 0.5
    network: str = NETWORK
    epochs: int | None = None
    recipe: dict[str, str] = field(
        default_factory=lambda: {
            "validation_iterations": "2",
            "learning_rate": "2e-3",
            "training_mirroring": "none",
            "checkpoint_epochs": "1",
        }
    )
    detector: DetectorSettings | None = DETECTOR
    detector_epochs: int | None = None
    min_embolus_mm3: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        TrainingRecipe().updated(
            {"epochs": str(1 if self.epochs is None else self.epochs), **self.recipe}, "the recipe"
        )
