"""Free-response ROC: the share of emboli that is hit against false markers a scan, as the score is lowered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Froc:
    """A cohort's curve.

    Attributes:
        fp_per_scan: From 0 on, ascending.
        sensitivity: At each of these; empty where there are no emboli.
        thresholds: The lowest score that counts at each; infinity first.
        true_positives: Emboli hit when all markers count.
        false_negatives: The others.
        false_positives: Markers that hit nothing.
    """

    fp_per_scan: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    true_positives: int
    false_negatives: int
    false_positives: int


class Pool:
    """The hits of a cohort in falling order of score, from which curves are drawn: once, or many times with weights.

    Attributes:
        scores: Of all hit emboli and false markers.
        true: Which of them are emboli.
        scan: Which scan each comes from.
        emboli: One number a scan, hit or not.
    """

    def __init__(self, scans: Sequence[ScanHits]) -> None:
        rows = [
            (score, true, number)
            for number, scan in enumerate(scans)
            for scores, true in ((scan.embolus_scores, True), (scan.false_scores, False))
            for score in scores
            if score is not None
        ]
        rows.sort(key=lambda row: -row[0])
        self.scores = np.array([row[0] for row in rows], float)
        self.true = np.array([row[1] for row in rows], bool)
        self.scan = np.array([row[2] for row in rows], np.int64)
        self.emboli = np.array([len(scan.embolus_scores) for scan in scans], np.int64)

    def curve(self, weights: NDArray[np.int64] | None = None) -> Froc:
        """The curve of these scans; markers of equal score are taken together.

        Args:
            weights: How often each scan counts, as a bootstrap sample has it; once if None.
        """
        weights = np.ones(len(self.emboli), np.int64) if weights is None else weights
        times = weights[self.scan]
        hits, misses = np.cumsum(times * self.true), np.cumsum(times * ~self.true)
        last = np.flatnonzero(np.append(np.diff(self.scores) != 0, [True] * bool(len(self.scores))))
        hits, misses = np.append(0, hits[last]), np.append(0, misses[last])
        new = np.append(True, np.diff(hits + misses) > 0)
        emboli = int(weights @ self.emboli)
        return Froc(
            fp_per_scan=misses[new] / weights.sum(),
            sensitivity=hits[new] / emboli if emboli else np.empty(0),
            thresholds=np.append(np.inf, self.scores[last])[new],
            true_positives=int(hits[-1]),
            false_negatives=emboli - int(hits[-1]),
            false_positives=int(misses[-1]),
        )


def froc(scans: Sequence[ScanHits]) -> Froc:
    """The curve of a cohort.

    Args:
        scans: With and without emboli, at least one.

    Example:
        >>> curve = froc([ScanHits("a", (0.9, None), (0.5,)), ScanHits("b", (), ())])
        >>> curve.fp_per_scan.tolist(), curve.sensitivity.tolist()
        ([0.0, 0.0, 0.5], [0.0, 0.5, 0.5])
    """
    return Pool(scans).curve()


@dataclass(frozen=True)
class ScanHits:
    """One scan under one protocol and one tolerance.

    Attributes:
        case_id: The scan.
        embolus_scores: One an embolus: the highest score of the markers that hit it, None where none does.
        false_scores: Scores of the markers that hit nothing.
        volumes_mm3: One an embolus, of the label as it is; empty where the protocol changes the label.
    """

    case_id: str
    embolus_scores: tuple[float | None, ...]
    false_scores: tuple[float, ...]
    volumes_mm3: tuple[float, ...] = ()

    def between(self, min_mm3: float, below_mm3: float) -> ScanHits:
        """The scan with the emboli of these volumes alone, and all its false markers."""
        chosen = [
            (score, volume)
            for score, volume in zip(self.embolus_scores, self.volumes_mm3, strict=True)
            if min_mm3 <= volume < below_mm3
        ]
        return replace(
            self,
            embolus_scores=tuple(score for score, _ in chosen),
            volumes_mm3=tuple(volume for _, volume in chosen),
        )


def operating_points(curve: Froc, budgets: Sequence[float]) -> list[dict[str, float | None]]:
    """Lower the score until the budget of false positives is spent.

    Args:
        curve: Of a cohort with emboli.
        budgets: False positives a scan, at most.

    Returns:
        One point a budget, in their order: `budget`; `threshold`, the lowest score that keeps to it, None where even
        the highest exceeds it, or nothing that keeps to it hits an embolus; and at that score `sensitivity` and
        `false_positives_per_scan`.
    """
    last_of = ((budget, int(np.flatnonzero(curve.fp_per_scan <= budget)[-1])) for budget in budgets)
    last_of = ((budget, last if curve.sensitivity[last] else 0) for budget, last in last_of)  # no best of nothing
    return [
        {
            "budget": budget,
            "threshold": float(curve.thresholds[last]) if last else None,
            "sensitivity": float(curve.sensitivity[last]),
            "false_positives_per_scan": float(curve.fp_per_scan[last]),
        }
        for budget, last in last_of
    ]
