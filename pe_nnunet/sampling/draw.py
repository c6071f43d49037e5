"""Which case, and which voxel of it, the next patch is drawn around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.sampling.index import CaseEmboli


@dataclass(frozen=True)
class SamplingSettings:
    """How patches are drawn; the fields are those of `TrainingRecipe`, `voxel_mm3` is the volume of a voxel."""

    positive_fraction: float
    embolus_volume_power: float
    case_ratio_power: float
    hard_negative_fraction: float
    min_embolus_mm3: float
    voxel_mm3: float
    hard_negatives: Literal["bright", "artery"] = "bright"


@dataclass(frozen=True)
class Draw:
    """A patch to be cut: its case, the voxel (z, y, x) it is drawn around (None: anywhere), why, and which embolus."""

    case: str
    voxel: NDArray[np.int32] | None
    kind: Literal["positive", "hard negative", "anywhere"]
    embolus: int | None = None


class PatchSampler:
    """Draws patches by embolus, so that small emboli and cases of low target ratio are seen.

    The share of positive patches does not depend on how many scans have no embolus: first it is drawn whether the patch
    is positive, then, among the cases that have emboli, the case with weight ratio^-power, then the embolus with weight
    volume^power, then one of its voxels. Other patches come from all cases alike.

    Args:
        index: The emboli of each case.
        settings: How to draw.
    """

    def __init__(self, index: Mapping[str, CaseEmboli], settings: SamplingSettings) -> None:
        self.index = dict(index)
        self.settings = settings
        self.cases = sorted(self.index)
        self.embolus_weights = {case: self._embolus_weights(self.index[case]) for case in self.cases}
        self.positive_cases = [case for case in self.cases if self.embolus_weights[case].size]
        ratios = np.array([self.index[case].target_ratio for case in self.positive_cases])
        weights = ratios**-settings.case_ratio_power if ratios.size else ratios
        self.case_weights = weights / weights.sum() if ratios.size else weights

    def _embolus_weights(self, case: CaseEmboli) -> NDArray[np.float64]:
        """Probabilities of a case's emboli; those under the minimum volume have none, unless all are."""
        if not case.voxel_counts.size:
            return np.zeros(0)
        volume_mm3 = case.voxel_counts * self.settings.voxel_mm3
        weights = volume_mm3**self.settings.embolus_volume_power
        large = volume_mm3 >= self.settings.min_embolus_mm3
        if large.any():
            weights = np.where(large, weights, 0)
        return np.asarray(weights / weights.sum(), np.float64)

    def draw(self, rng: np.random.Generator) -> Draw:
        """The next patch.

        Args:
            rng: The source of chance.

        Returns:
            What to cut.
        """
        if self.positive_cases and rng.random() < self.settings.positive_fraction:
            return self.draw_positive(rng)
        return self.draw_negative(rng)

    def draw_positive(self, rng: np.random.Generator) -> Draw:
        """A patch around an embolus; there must be one."""
        case = self.positive_cases[rng.choice(len(self.positive_cases), p=self.case_weights)]
        weights = self.embolus_weights[case]
        embolus = int(rng.choice(weights.size, p=weights))
        points = self.index[case].points[embolus]
        return Draw(case, points[rng.integers(len(points))], "positive", embolus)

    def draw_negative(self, rng: np.random.Generator) -> Draw:
        """A patch that is not drawn around an embolus, though it may hold one."""
        case = self.cases[rng.integers(len(self.cases))]
        hard = self._hard_points(self.index[case])
        if len(hard) and rng.random() < self.settings.hard_negative_fraction:
            return Draw(case, hard[rng.integers(len(hard))], "hard negative")
        return Draw(case, None, "anywhere")

    def _hard_points(self, case: CaseEmboli) -> NDArray[np.int32]:
        in_arteries = self.settings.hard_negatives == "artery" and len(case.artery_points)
        return case.artery_points if in_arteries else case.bright_points
