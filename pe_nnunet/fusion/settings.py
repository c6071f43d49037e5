"""The numbers that turn a probability map into emboli."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pe_nnunet.errors import ConfigurationError


@dataclass(frozen=True)
class FusionSettings:
    """Thresholds on the embolus probability, and the smallest embolus that is kept.

    All comparisons are "at least": a voxel at exactly a threshold passes it.

    Attributes:
        threshold: An embolus that is kept consists of voxels of at least this probability.
        seed_threshold: An embolus is kept only if one of its voxels reaches this probability (hysteresis: the extent
            follows the lower threshold, the decision the higher one). None: the same as `threshold`, no hysteresis.
        candidate_threshold: Whatever reaches this probability is listed in the table of candidates, kept or not.
        min_volume_mm3: An embolus of a smaller volume is not kept. The default is half of the 5 % quantile of the
            emboli in the FUMPE dataset (10 mm3), some ten voxels of a thin-slice CTPA.
        nms_mm: Of findings whose most certain voxels lie this near to each other, the strongest stands for all
            (non-maximum suppression). 0: each stands for itself.
        box_weight: How much the log-odds of a detected embolus, above those of `box_confidence`, raise those of the
            voxels in its boxes. 0: not at all.
        no_box_penalty: By how much the log-odds of a finding that no detected embolus touches are lowered.
        box_confidence: A box that is less sure counts as if it were not there. Detectors differ in what their
            confidence is worth: after a short training one of 0.2 may be right more often than not.

    Raises:
        ConfigurationError: PE-FUS-001 if the numbers are out of range or contradict each other.

    Example:
        >>> FusionSettings(threshold=0.4, seed_threshold=0.6).seed
        0.6
        >>> FusionSettings(threshold=0.4).seed
        0.4
    """

    threshold: float = 0.5
    seed_threshold: float | None = None
    candidate_threshold: float = 0.05
    min_volume_mm3: float = 5.0
    nms_mm: float = 0.0
    box_weight: float = 0.0
    no_box_penalty: float = 0.0
    box_confidence: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.candidate_threshold <= self.threshold <= self.seed <= 1:
            raise ConfigurationError(
                "PE-FUS-001",
                f"candidate threshold {self.candidate_threshold}, threshold {self.threshold}, "
                f"seed threshold {self.seed}: expected 0 < candidate threshold <= threshold <= seed threshold <= 1",
            )
        for what, number in (
            ("minimum embolus volume in mm3", self.min_volume_mm3),
            ("distance of non-maximum suppression in mm", self.nms_mm),
            ("weight of boxes", self.box_weight),
            ("penalty of findings without a box", self.no_box_penalty),
        ):
            if not (math.isfinite(number) and number >= 0):
                raise ConfigurationError("PE-FUS-001", f"{what} is {number}, expected a number of 0 or more")
        if not 0 < self.box_confidence < 1:
            raise ConfigurationError(
                "PE-FUS-001",
                f"least confidence of boxes is {self.box_confidence}, expected between 0 and 1",
            )

    @property
    def uses_detection(self) -> bool:
        """Whether boxes make a difference."""
        return self.box_weight > 0 or self.no_box_penalty > 0

    @property
    def seed(self) -> float:
        """The probability that one voxel of a kept embolus reaches."""
        return self.threshold if self.seed_threshold is None else self.seed_threshold
