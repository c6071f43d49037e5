"""The scores of a cohort, with intervals; emboli are pooled over scans, so that one of many emboli weighs more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.case_scores import CaseScores, Scores
from pe_nnunet.metrics.definitions import COMPARED, OVER_COHORT, place
from pe_nnunet.metrics.inputs import MIN_NEGATIVES, CohortInputs, Value
from pe_nnunet.metrics.ratios import EmptyPolicy


@dataclass(frozen=True)
class CohortScores(Scores):
    """The numbers of all scans together.

    Attributes:
        values: By the names of `METRICS` that are brought together over a cohort.
        intervals: 95 % intervals of those that are compared; empty where none were asked for.
        sensitivity_at_fp: From `operating_points`, where every scan came with scores, else None.
    """

    values: Mapping[str, Value]
    intervals: dict[str, Estimate] = field(default_factory=dict)
    sensitivity_at_fp: Sequence[Mapping[str, Value]] | None = None

    @property
    def false_positives_per_scan(self) -> Value:
        """Over all scans, with and without emboli; None without scans."""
        return self["false_positives_per_scan"]

    def to_dict(self) -> dict[str, Any]:
        """Without intervals, as `summary.json` has it: each number in its place."""
        nested: dict[str, Any] = {}
        for name, value in self.values.items():
            section, key = place(name)
            (nested.setdefault(section, {}) if section else nested)[key] = value
        return {**nested, "sensitivity_at_fp": self.sensitivity_at_fp}


def summarise(
    cases: Sequence[CaseScores],
    *,
    empty: EmptyPolicy | None = None,
    sensitivity_at_fp: Sequence[Mapping[str, Value]] | None = None,
    resampling: Resampling | None = None,
) -> CohortScores:
    """Bring the scans of a cohort together.

    Args:
        cases: The scans; at least one for intervals.
        empty: What the cohort's F1 is worth where there are no emboli or no findings at all; the default if None.
        sensitivity_at_fp: Passed on.
        resampling: Of patients, for the intervals; none without.
    """
    cohort = CohortInputs([case.values for case in cases], empty)
    values = {name: over_cohort(cohort, name) for name, over_cohort in OVER_COHORT.items()}
    intervals = {}
    if resampling is not None and cases:
        numbers = compared_numbers(cases, empty)

        def resampled(weights: NDArray[np.int64]) -> dict[str, Value]:
            return numbers([case for case, times in zip(cases, weights, strict=True) for _ in range(times)])

        intervals = estimates(resampled, [case.drawn_with for case in cases], resampling)
    return CohortScores(values, intervals, sensitivity_at_fp)


def compared_numbers(
    cases: Sequence[CaseScores], empty: EmptyPolicy | None = None
) -> Callable[[Sequence[CaseScores]], dict[str, Value]]:
    """The numbers that get an interval, as a function of cases that are drawn from a cohort.

    Args:
        cases: The cohort.
        empty: As in `summarise`.
    """
    enough = sum(not case.positive for case in cases) >= MIN_NEGATIVES
    min_negatives = 1 if enough else len(cases) + 1  # a sample of a cohort with negatives enough may have fewer

    def numbers(drawn: Sequence[CaseScores]) -> dict[str, Value]:
        cohort = CohortInputs([case.values for case in drawn], empty, min_negatives)
        return {name: OVER_COHORT[name](cohort, name) for name in COMPARED}

    return numbers
