"""Sensitivity at a budget of false positives, from the scored markers of all candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.outputs.table import Marker


@dataclass(frozen=True)
class ScoredMarker:
    """One candidate of one scan.

    Attributes:
        case_id: The scan.
        probability: Its score.
        embolus_id: The embolus in which its most certain voxel lies, 0 for none.
    """

    case_id: str
    probability: float
    embolus_id: int


@dataclass(frozen=True)
class OperatingPoint:
    """What a budget allows.

    Attributes:
        budget: False positives a scan, at most.
        threshold: The lowest score that keeps to it; None where even the highest exceeds it, or there are no markers.
        sensitivity: Emboli hit by markers of at least that score.
        false_positives_per_scan: At that score.
    """

    budget: float
    threshold: float | None
    sensitivity: float
    false_positives_per_scan: float


def locate_markers(
    case_id: str, markers: Sequence[Marker], truth_ids: NDArray[Any], grid: sitk.Image
) -> list[ScoredMarker]:
    """Find the embolus that each marker lies in.

    Args:
        case_id: The scan.
        markers: Its candidates, in LPS mm.
        truth_ids: Ids of its emboli, (z, y, x).
        grid: An image with the geometry of `truth_ids`.

    Returns:
        One entry a marker; a marker outside the scan hits nothing.
    """
    located = []
    for marker in markers:
        index = grid.TransformPhysicalPointToIndex(marker.position_lps_mm)[::-1]
        inside = all(0 <= i < n for i, n in zip(index, truth_ids.shape, strict=True))
        located.append(ScoredMarker(case_id, marker.probability, int(truth_ids[index]) if inside else 0))
    return located


def sensitivity_at(
    budgets: Sequence[float], markers: Sequence[ScoredMarker], *, emboli: int, scans: int
) -> tuple[OperatingPoint, ...]:
    """Lower the score until the budget of false positives is spent.

    A marker hits the embolus that it lies in; further markers in one embolus count neither way; markers of equal score
    are taken together.

    Args:
        budgets: False positives a scan.
        markers: Candidates of all scans.
        emboli: In all scans, more than 0.
        scans: With and without emboli, more than 0.

    Returns:
        One point a budget, in their order.
    """
    hit: set[tuple[str, int]] = set()
    false = 0
    curve: list[tuple[float | None, float, float]] = [(None, 0.0, 0.0)]
    for score, group in groupby(sorted(markers, key=lambda m: -m.probability), key=lambda m: m.probability):
        for marker in group:
            if marker.embolus_id:
                hit.add((marker.case_id, marker.embolus_id))
            else:
                false += 1
        curve.append((score, len(hit) / emboli, false / scans))
    allowed = [(budget, [point for point in curve if point[2] <= budget][-1]) for budget in budgets]
    return tuple(OperatingPoint(budget, *point) for budget, point in allowed)
