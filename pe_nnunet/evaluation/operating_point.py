"""Sensitivity at a budget of false positives, with the score that gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pe_nnunet.evaluation.froc import Froc


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


def operating_points(curve: Froc, budgets: Sequence[float]) -> tuple[OperatingPoint, ...]:
    """Lower the score until the budget of false positives is spent.

    Args:
        curve: Of a cohort with emboli.
        budgets: False positives a scan.

    Returns:
        One point a budget, in their order.
    """
    points = []
    for budget in budgets:
        last = int(np.flatnonzero(curve.fp_per_scan <= budget)[-1])
        threshold = float(curve.thresholds[last]) if last else None
        points.append(OperatingPoint(budget, threshold, float(curve.sensitivity[last]), float(curve.fp_per_scan[last])))
    return tuple(points)
