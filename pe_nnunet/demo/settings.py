"""What the chain runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.recipe import TrainingRecipe

DETECTOR = DetectorSettings(
    model="yolov8n-p2", image_size=192, epochs=8, batch=8, slices_per_embolus=8, negative_share=0.3
)
"""As long as fits into the demo, some two minutes on two cores; its output is fine, as emboli are seven pixels wide."""


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
        memory_gb: The planner's memory target; a small one gives a network that a CPU trains in minutes.
        recipe: Training recipe, `key=value` pairs.
        epochs: Of the segmenter's training.
        detector: How the detector is trained; None does without one.
        min_embolus_mm3: Smaller findings are not kept; None chooses on the validation scans.
        device: Where the networks run: `cuda`, `mps` or `cpu`.

    Raises:
        ConfigurationError: if the recipe is none, which training would say after minutes.
    """

    out: Path
    studies: Path | None = None
    held_out: tuple[str, ...] = ()
    dataset_id: int = 501
    train_scans: int = 60
    test_scans: int = 10
    memory_gb: float = 0.5
    epochs: int = 16
    recipe: dict[str, str] = field(
        default_factory=lambda: {
            "iterations": "80",
            "validation_iterations": "2",
            "learning_rate": "2e-3",
            "test_time_mirroring": "no",
        }
    )
    detector: DetectorSettings | None = DETECTOR
    min_embolus_mm3: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        TrainingRecipe().updated({"epochs": str(self.epochs), **self.recipe}, "the recipe")
