"""What a choice is worth on scans of patients that it was not made on, and whether one way to choose beats others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import EMBOLI, FINDINGS, FOUND, TRUE
from pe_nnunet.calibration.objective import MEANINGFUL, held_out, rates, totals, value_elsewhere
from pe_nnunet.metrics.bootstrap import HIGH_PERCENT, LOW_PERCENT, Resampling

PARTS = 5
MIN_SCANS = 5  # of as many patients; on fewer nothing shows that boxes, or weights of models, help
RESAMPLES = 1000
CERTAINTY = 0.95
RATES = ("sensitivity", "false_positives_per_scan", "f1")

Choose = Callable[[NDArray[np.int64]], int]
"""From counts (candidates, scans, columns) to the number of a candidate."""


@dataclass(frozen=True)
class Estimate:
    """What a choice comes to on scans of patients that it was not made on.

    Attributes:
        patients: How many.
        sensitivity: Found emboli of all emboli.
        false_positives_per_scan: Over all scans.
        f1: Of emboli.
        found: Emboli found.
        emboli: True emboli.
        intervals: 95 % intervals of the three rates, by a bootstrap over the patients.
    """

    patients: int
    sensitivity: float
    false_positives_per_scan: float
    f1: float
    found: int
    emboli: int
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Whether one way to choose is better than others, on patients that the choices were not made on.

    Attributes:
        gain: In the objective, over the best of the others.
        certainty: The share of bootstrap resamples of the patients in which it beats each of them.
        patients: How many.
    """

    gain: float
    certainty: float
    patients: int

    @property
    def holds(self) -> bool:
        """Whether that is enough to take it."""
        return self.certainty >= CERTAINTY and self.patients >= MIN_SCANS


def numbered_patients(cases: Sequence[str], patients: Mapping[str, str] | None = None) -> NDArray[np.intp]:
    """The number of the patient of each scan, by their first scans.

    Args:
        cases: Ids of the scans.
        patients: Case id -> patient; who is not in it is a patient of its own.

    Example:
        >>> numbered_patients(["c", "a", "b"], {"c": "p", "b": "p"}).tolist()
        [0, 1, 0]
    """
    number: dict[tuple[str, str], int] = {}
    known = patients or {}
    keys = [("patient", known[case]) if known.get(case) else ("case", case) for case in cases]
    return np.array([number.setdefault(key, len(number)) for key in keys], np.intp)


def elsewhere(counts: NDArray[np.int64], patients: NDArray[np.intp], choose: Choose) -> NDArray[np.int64]:
    """What is found in each scan by the candidate that is chosen on other patients, in parts: (scans, columns).

    Args:
        counts: (candidates, scans, columns).
        patients: Number of the patient of each scan.
        choose: How the choice is made.
    """
    parts = patients % min(PARTS, int(patients.max()) + 1)
    return np.asarray(counts[held_out(counts, parts, choose), np.arange(counts.shape[1])])


def estimate(outcome: NDArray[np.int64], patients: NDArray[np.intp]) -> Estimate | None:
    """What the outcome on other patients comes to; None with a single patient.

    Args:
        outcome: From `elsewhere`.
        patients: Number of the patient of each scan.
    """
    count = int(patients.max()) + 1
    if count < 2:
        return None
    weights = np.stack(list(Resampling(RESAMPLES).weights(patients.tolist())))
    drawn = zip(RATES, rates(weights @ outcome, weights.sum(axis=1)), strict=True)
    low_high = {name: np.percentile(values, (LOW_PERCENT, HIGH_PERCENT)) for name, values in drawn}
    intervals = {name: (round(float(low), 6), round(float(high), 6)) for name, (low, high) in low_high.items()}
    return Estimate(count, *totals(outcome), intervals)


def best_elsewhere(max_fp_per_scan: float | None) -> Choose:
    """The choice by which ways to choose are compared: a hard limit would credit one with a finer choice of false
    positives. Of equals the first candidate is taken.

    Args:
        max_fp_per_scan: False positives a scan, at most; None: the F1 counts.
    """  # noqa: D205 - one sentence

    def choose(of: NDArray[np.int64]) -> int:
        return int(np.argmax(value_elsewhere(of.sum(axis=1), of.shape[1], max_fp_per_scan).round(9)))

    return choose


def compare(
    first: NDArray[np.int64],
    others: Sequence[NDArray[np.int64]],
    patients: NDArray[np.intp],
    max_fp_per_scan: float | None,
) -> Comparison:
    """Compare a way to choose with others, by what each finds in scans of patients that it did not choose on.

    Args:
        first: From `elsewhere`.
        others: Likewise, of the same scans.
        patients: Number of the patient of each scan.
        max_fp_per_scan: False positives a scan, at most; None: the F1 counts.
    """
    count = int(patients.max()) + 1
    outcome = np.stack([first, *others])[..., [FOUND, EMBOLI, TRUE, FINDINGS]]
    of_patient = np.zeros((len(outcome), count, outcome.shape[2]), np.int64)
    scans = np.bincount(patients, minlength=count)
    for number, rows in enumerate(outcome):
        np.add.at(of_patient[number], patients, rows)
    draws = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    resampled = value_elsewhere(of_patient[:, draws].sum(axis=2), scans[draws].sum(axis=1), max_fp_per_scan)
    value = value_elsewhere(outcome.sum(axis=1), len(first), max_fp_per_scan)
    certainty = float((resampled[0] > resampled[1:].max(axis=0) + MEANINGFUL).mean())
    return Comparison(float(value[0] - value[1:].max()), certainty, count)
