"""The numbers that turn a probability map into emboli."""

from __future__ import annotations

from dataclasses import dataclass

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.options import option, require_limits


@dataclass(frozen=True)
class FusionSettings:
    """Thresholds on the embolus probability, and the smallest embolus that is kept.

    All comparisons are "at least": a voxel at exactly a threshold passes it. An embolus is kept only if one of its
    voxels reaches the seed threshold (hysteresis: the extent follows the lower threshold, the decision the higher one).
    The default volume is half of the 5 % quantile of the emboli in the FUMPE dataset (10 mm3), some ten voxels of a
    thin-slice CTPA. Detectors differ in what their confidence is worth: after a short training one of 0.2 may be right
    more often than not.

    Raises:
        ConfigurationError: PE-FUS-001 if the numbers are out of range or contradict each other.

    Example:
        >>> FusionSettings(threshold=0.4, seed_threshold=0.6).seed
        0.6
        >>> FusionSettings(threshold=0.4).seed
        0.4
    """

    threshold: float = option(0.5, "probability of a voxel of an embolus", above=0, high=1)
    seed_threshold: float | None = option(
        None, "probability that one voxel of an embolus reaches", above=0, high=1, kind=float, default_text="the same"
    )
    candidate_threshold: float = option(0.05, "whatever reaches it is listed, kept or not", above=0, high=1)
    min_volume_mm3: float = option(5.0, "smaller emboli are not kept, mm3", low=0, flag="--min-embolus-mm3")
    nms_mm: float = option(
        0.0, "of findings whose most certain voxels lie this near, the strongest stands for all; 0: no suppression",
        low=0,
    )  # fmt: skip
    box_weight: float = option(
        0.0, "how much the log-odds of a detected embolus, above those of the box confidence, raise its voxels'", low=0
    )
    no_box_penalty: float = option(0.0, "taken off the log-odds of a finding that no box touches", low=0)
    box_confidence: float = option(0.5, "boxes that are less sure do not count", above=0, high=1)

    def __post_init__(self) -> None:
        require_limits(self, "PE-FUS-001")
        if not self.candidate_threshold <= self.threshold <= self.seed:
            raise ConfigurationError(
                "PE-FUS-001",
                f"candidate threshold {self.candidate_threshold}, threshold {self.threshold}, "
                f"seed threshold {self.seed}: expected each to be at least the one before it",
            )
        if self.box_confidence == 1:
            raise ConfigurationError("PE-FUS-001", "--box-confidence is 1, expected less than 1")

    @property
    def uses_detection(self) -> bool:
        """Whether boxes make a difference."""
        return self.box_weight > 0 or self.no_box_penalty > 0

    @property
    def seed(self) -> float:
        """The probability that one voxel of a kept embolus reaches."""
        return self.threshold if self.seed_threshold is None else self.seed_threshold
