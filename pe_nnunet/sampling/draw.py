"""Which case, and which voxel of it, the next patch is drawn around, and when a patch counts as positive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling.index import CaseEmboli


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
        recipe: How to draw.
        voxel_mm3: Volume of a voxel.
    """

    def __init__(self, index: Mapping[str, CaseEmboli], recipe: TrainingRecipe, voxel_mm3: float) -> None:
        self.index = dict(index)
        self.recipe = recipe
        self.voxel_mm3 = voxel_mm3
        self.cases = sorted(self.index)
        self.embolus_weights = {case: self._embolus_weights(self.index[case]) for case in self.cases}
        self.positive_cases = [case for case in self.cases if self.embolus_weights[case].size]
        ratios = np.array([self.index[case].target_ratio for case in self.positive_cases])
        weights = ratios**-recipe.case_ratio_power if ratios.size else ratios
        self.case_weights = weights / weights.sum() if ratios.size else weights

    def _embolus_weights(self, case: CaseEmboli) -> NDArray[np.float64]:
        """Probabilities of a case's emboli; those under the minimum volume have none, unless all are."""
        if not case.voxel_counts.size:
            return np.zeros(0)
        volume_mm3 = case.voxel_counts * self.voxel_mm3
        weights = volume_mm3**self.recipe.embolus_volume_power
        large = volume_mm3 >= self.recipe.min_embolus_mm3
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
        if self.positive_cases and rng.random() < self.recipe.positive_fraction:
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
        if len(hard) and rng.random() < self.recipe.hard_negative_fraction:
            return Draw(case, hard[rng.integers(len(hard))], "hard negative")
        return Draw(case, None, "anywhere")

    def _hard_points(self, case: CaseEmboli) -> NDArray[np.int32]:
        in_arteries = self.recipe.hard_negatives == "artery" and len(case.artery_points)
        return case.artery_points if in_arteries else case.bright_points


ENOUGH_MM3 = 100.0


@dataclass(frozen=True)
class PositiveRule:
    """A patch is positive if it holds half of the drawn embolus, or 100 mm3 of any.

    Volumes are those of the augmented patch. Targets do not tell emboli apart: where a patch lost the drawn embolus and
    another one of at least half its size lies in it, that one stands in.

    Attributes:
        voxel_mm3: Volume of a voxel.
        pe_values: Label values that mean PE, where targets are label maps.
        channel: The channel of PE, where targets are regions; otherwise None.
    """

    voxel_mm3: float
    pe_values: Sequence[int]
    channel: int | None = None

    def pe_voxels(self, target: Any) -> int:
        """PE voxels of a target: (channels, ...), or a list of such, finest first."""
        finest = target[0] if isinstance(target, list) else target
        if self.channel is not None:
            return int((finest[self.channel] > 0).sum())
        return sum(int((finest[0] == value).sum()) for value in self.pe_values)  # isin is ten times slower

    def needed_voxels(self, embolus_voxels: float | None) -> float:
        """The PE voxels from which a patch is positive.

        Args:
            embolus_voxels: Size of the drawn embolus; None where none was drawn.
        """
        enough = ENOUGH_MM3 / self.voxel_mm3
        return enough if embolus_voxels is None else min(enough, embolus_voxels / 2)
