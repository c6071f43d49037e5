"""Two methods on the same scans: differences with intervals, and a paired test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import InputError
from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import compared_numbers


class Difference(NamedTuple):
    """One number of two methods.

    Attributes:
        first: Of the first method.
        second: Of the second.
        difference: Second less first, with its interval over resampled patients, the same for both.
        p_value: Two-sided, of the paired permutation test.
    """

    first: float | None
    second: float | None
    difference: Estimate
    p_value: float | None


def compare(first: Sequence[CaseScores], second: Sequence[CaseScores], resampling: Resampling) -> dict[str, Difference]:
    """Compare two methods scan by scan.

    The permutation test swaps the two methods in a random half of the patients and asks how often the difference is
    then as large as the real one; emboli of one scan, and scans of one patient, stay together. With `samples` draws p
    is at least 1 / (samples + 1).

    Args:
        first: Scores of the first method.
        second: Of the second, for the same scans in the same order.
        resampling: Samples of the interval and of the test, and their seed.

    Raises:
        InputError: PE-EVAL-008 if the scans differ, or there are none.
    """
    if not first or _scans(first) != _scans(second):
        raise InputError("PE-EVAL-008", "the two results hold other scans, other labels, or none", "score both alike")
    numbers = compared_numbers(first)

    def change(one: list[CaseScores], other: list[CaseScores]) -> dict[str, float | None]:
        a, b = numbers(one), numbers(other)
        return {name: None if a[name] is None or b[name] is None else b[name] - a[name] for name in a}  # type: ignore[operator]  # both are checked

    def resampled(weights: NDArray[np.int64]) -> dict[str, float | None]:
        drawn = np.repeat(np.arange(len(first)), weights).tolist()
        return change([first[i] for i in drawn], [second[i] for i in drawn])

    patients = [case.drawn_with for case in first]
    number = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
    of_scan = [number[patient] for patient in patients]
    differences = estimates(resampled, patients, resampling)
    as_large = dict.fromkeys(differences, 0)
    random = np.random.default_rng(resampling.seed)
    for _ in range(resampling.samples):
        swap = random.integers(2, size=len(number)).astype(bool)[of_scan]
        one = [b if s else a for a, b, s in zip(first, second, swap, strict=True)]
        other = [a if s else b for a, b, s in zip(first, second, swap, strict=True)]
        for name, value in change(one, other).items():
            real = differences[name].value
            # What is not defined under a swap counts against a difference; the rounding of sums must not count for it.
            as_large[name] += value is None or real is None or abs(value) >= abs(real) - 1e-12
    a, b = numbers(list(first)), numbers(list(second))
    return {
        name: Difference(
            a[name],
            b[name],
            found,
            None if found.value is None or not resampling.samples else (as_large[name] + 1) / (resampling.samples + 1),
        )
        for name, found in differences.items()
    }


def _scans(cases: Sequence[CaseScores]) -> list[tuple[str, str, int]]:
    return [(case.case_id, case.patient, case.emboli) for case in cases]
