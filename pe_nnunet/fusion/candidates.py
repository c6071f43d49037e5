"""Findings, kept or not, and non-maximum suppression among those whose markers lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


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


def stand_in(position_mm: NDArray[np.float64], distance_mm: float) -> NDArray[np.intp]:
    """For each finding the number of the one that stands for it, which is its own where it is kept.

    One after another, a finding is suppressed if a kept one before it lies within the distance; suppressed ones
    suppress nothing.

    Args:
        position_mm: Markers, (findings, 3), the strongest first.
        distance_mm: Markers as far apart as this, or nearer, are one; nothing is suppressed at 0.

    Example:
        >>> stand_in(np.array([[0.0, 0, 0], [0, 0, 8], [0, 0, 16]]), 10).tolist()
        [0, 0, 2]
    """
    count = len(position_mm)
    stands = np.arange(count)
    if distance_mm == 0:
        return stands
    kept: list[int] = []
    for k in range(count):
        apart = np.linalg.norm(position_mm[kept] - position_mm[k], axis=1)
        near = np.flatnonzero(apart <= distance_mm)
        if near.size:
            stands[k] = kept[near[0]]
        else:
            kept.append(k)
    return stands


def merged(rows: Sequence[Candidate], stands: Sequence[int]) -> list[Candidate]:
    """The findings that are left, each kept one with the volume of the kept ones that it stands for.

    Args:
        rows: The findings, the strongest first.
        stands: From `stand_in`.
    """
    groups: dict[int, list[Candidate]] = {}
    for row, first in zip(rows, stands, strict=True):
        groups.setdefault(int(first), []).append(row)
    left = []
    for first, group in groups.items():
        head = rows[first]
        same = [row for row in group if row.kept == head.kept] if head.kept else [head]
        volume = sum(row.volume_mm3 for row in same)
        mean = sum(row.mean_probability * row.volume_mm3 for row in same) / volume
        left.append(replace(head, volume_mm3=volume, mean_probability=mean) if len(same) > 1 else head)
    return left
