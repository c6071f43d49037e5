"""A finding: an embolus that is kept, or a weaker candidate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """One row of the table: an embolus that is kept, or a weaker finding that is not.

    Attributes:
        id: 1, 2, ...: kept emboli first, then the others, each by falling probability (then falling volume, then
            position). For kept ones this is also the value in `Emboli.labels`.
        voxel_zyx: Index of the most certain voxel.
        probability: The highest probability in it, which is its score.
        mean_probability: The mean over its voxels.
        volume_mm3: Of a kept embolus at `threshold`, of another at `candidate_threshold`.
        kept: Whether it counts as an embolus under the settings.
    """

    id: int
    voxel_zyx: tuple[int, int, int]
    probability: float
    mean_probability: float
    volume_mm3: float
    kept: bool
