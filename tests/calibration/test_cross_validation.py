"""What a choice comes to on other patients, with intervals over patients."""

from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.calibration.cross_validation import estimate

FOUND_HALF = [1, 2, 1, 2]  # of two emboli one found, of two findings one true


def test_the_interval_of_patients_who_are_all_alike_is_their_number() -> None:
    held = estimate(np.array([FOUND_HALF] * 6), np.array([0, 0, 1, 2, 3, 4]))
    assert held is not None
    assert (held.patients, held.sensitivity, held.false_positives_per_scan, held.f1) == (5, 0.5, 1.0, 0.5)
    expected = {"sensitivity": (0.5, 0.5), "false_positives_per_scan": (1.0, 1.0), "f1": (0.5, 0.5)}
    assert held.intervals == expected


def test_patients_are_drawn_and_not_their_scans() -> None:
    """Of two patients, one with everything found and one with nothing, one in four resamples has the first alone."""
    outcome = np.array([[1, 1, 1, 1]] * 8 + [[0, 1, 0, 0]] * 8)
    held = estimate(outcome, np.repeat([0, 1], 8))
    assert held is not None
    assert held.sensitivity == 0.5
    assert held.intervals["sensitivity"] == (0.0, 1.0)  # scans drawn one by one give about 0.25 to 0.75
    alone = estimate(outcome, np.arange(16))
    assert alone is not None
    low, high = alone.intervals["sensitivity"]
    # 16 draws of a half: the 2.5th and 97.5th percentiles of the binomial distribution are 4 and 12
    assert (low, high) == (pytest.approx(4 / 16, abs=1 / 16), pytest.approx(12 / 16, abs=1 / 16))


def test_a_single_patient_has_none() -> None:
    assert estimate(np.array([FOUND_HALF, FOUND_HALF]), np.array([0, 0])) is None
