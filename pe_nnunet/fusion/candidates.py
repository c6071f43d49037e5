"""Candidates, kept or not, their order, and non-maximum suppression among those whose markers lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.fusion.components import ComponentStatistics
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.voxels import Box, Index


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


@dataclass(frozen=True)
class Emboli:
    """What `find_emboli` found.

    Attributes:
        labels: Ids of the kept emboli, 0 elsewhere, (z, y, x), uint16 (uint32 where there are more than 65535).
        candidates: All rows, ids ascending.
        settings: The settings that decided.
    """

    labels: NDArray[Any]
    candidates: tuple[Candidate, ...]
    settings: FusionSettings = field(default_factory=FusionSettings)

    def placed(self, box: Box, shape: Index) -> Emboli:
        """The same emboli in a larger volume.

        Args:
            box: Where in it they were looked for, (z, y, x).
            shape: Of that volume.
        """
        labels = np.zeros(shape, self.labels.dtype)
        labels[box.slices] = self.labels
        moved = [tuple(np.add(box.start, row.voxel_zyx).tolist()) for row in self.candidates]
        rows = (replace(row, voxel_zyx=voxel) for row, voxel in zip(self.candidates, moved, strict=True))
        return replace(self, labels=labels, candidates=tuple(rows))

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The rows that count as emboli."""
        return tuple(c for c in self.candidates if c.kept)

    @property
    def pe_score(self) -> float:
        """The highest probability of any candidate, kept or not; 0 where there is none."""
        return max((c.probability for c in self.candidates), default=0.0)

    @property
    def volume_mm3(self) -> float:
        """The volume of all kept emboli together."""
        return sum(c.volume_mm3 for c in self.kept)


def ranked_candidates(
    found: ComponentStatistics, which: Sequence[int], spacing_mm: tuple[float, float, float], *, kept: bool
) -> list[Candidate]:
    """Rows of components by falling probability, then falling volume, then position.

    Args:
        found: All components.
        which: Places among them.
        spacing_mm: (z, y, x).
        kept: Whether they count as emboli.

    Returns:
        Rows whose `id` is the component's number, until the final order is known.
    """
    voxel_mm3 = float(np.prod(spacing_mm))
    peaks = found.peak_zyx.tolist()
    rows = [
        Candidate(
            id=k + 1,
            voxel_zyx=tuple(peaks[k]),
            probability=min(1.0, float(found.highest[k])),
            mean_probability=min(1.0, float(found.mean[k])),
            volume_mm3=float(found.voxels[k]) * voxel_mm3,
            kept=kept,
        )
        for k in which
    ]
    return sorted(rows, key=lambda row: (-row.probability, -row.volume_mm3, row.voxel_zyx))


def suppressed_by(position_mm: NDArray[np.float64], distance_mm: float) -> NDArray[np.intp]:
    """Non-maximum suppression: for each finding the number of the one that suppresses it, its own where it is kept.

    One after another, a finding is suppressed if a kept one before it lies within the distance; suppressed ones
    suppress nothing.

    Args:
        position_mm: Markers, (findings, 3), the strongest first.
        distance_mm: Markers as far apart as this, or nearer, are one; nothing is suppressed at 0.

    Example:
        >>> suppressed_by(np.array([[0.0, 0, 0], [0, 0, 8], [0, 0, 16]]), 10).tolist()
        [0, 0, 2]
    """
    count = len(position_mm)
    suppressor = np.arange(count)
    if distance_mm == 0:
        return suppressor
    kept: list[int] = []
    for k in range(count):
        apart = np.linalg.norm(position_mm[kept] - position_mm[k], axis=1)
        near = np.flatnonzero(apart <= distance_mm)
        if near.size:
            suppressor[k] = kept[near[0]]
        else:
            kept.append(k)
    return suppressor


def after_suppression(rows: Sequence[Candidate], suppressor: Sequence[int]) -> list[Candidate]:
    """The findings that are left, each kept embolus with the volume of those that it suppresses.

    Args:
        rows: The findings, the strongest first.
        suppressor: From `suppressed_by`.
    """
    groups: dict[int, list[Candidate]] = {}
    for row, first in zip(rows, suppressor, strict=True):
        groups.setdefault(int(first), []).append(row)
    left = []
    for first, group in groups.items():
        head = rows[first]
        same = [row for row in group if row.kept == head.kept] if head.kept else [head]
        volume = sum(row.volume_mm3 for row in same)
        mean = sum(row.mean_probability * row.volume_mm3 for row in same) / volume
        left.append(replace(head, volume_mm3=volume, mean_probability=mean) if len(same) > 1 else head)
    return left
