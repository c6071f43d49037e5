from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.metrics.bootstrap import Estimate, Resampling, estimates
from pe_nnunet.metrics.detection_curves import detection
from pe_nnunet.metrics.froc import Pool, ScanHits, froc

COHORT = [
    ScanHits("a", (0.9, None), (0.8,), (50.0, 2000.0)),
    ScanHits("b", (0.7,), (0.6, 0.6, 0.2), (500.0,)),
    ScanHits("c", (), (0.5,), ()),
]


def test_the_interval_of_a_mean_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(1).normal(10, 2, 200)
    found = estimates(lambda w: {"mean": float(w @ values / w.sum())}, range(200), Resampling(1000))["mean"]
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(200)
    assert found.low == pytest.approx(values.mean() - half, abs=0.06)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06)


def test_the_same_seed_gives_the_same_and_no_samples_no_interval() -> None:
    def mean(weights: np.ndarray) -> dict[str, float | None]:
        return {"x": float(weights @ np.arange(20.0) / weights.sum())}

    assert estimates(mean, range(20), Resampling(50, 3)) == estimates(mean, range(20), Resampling(50, 3))
    assert estimates(mean, range(20), Resampling(50, 3)) != estimates(mean, range(20), Resampling(50, 4))
    assert estimates(mean, range(20), Resampling(0)) == {"x": Estimate(9.5)}


def test_what_is_never_defined_has_neither_value_nor_interval() -> None:
    found = estimates(lambda _: {"nothing": None}, range(3), Resampling(10))
    assert found == {"nothing": Estimate(None)}
    assert str(found["nothing"]) == "-"


def test_a_weighted_curve_is_the_curve_of_the_repeated_scans() -> None:
    for weights in Resampling(30, 1).weights("abc"):
        repeated = froc([scan for scan, times in zip(COHORT, weights, strict=True) for _ in range(times)])
        weighted = Pool(COHORT).curve(weights)
        for name in ("fp_per_scan", "sensitivity", "thresholds"):
            assert getattr(weighted, name).tolist() == pytest.approx(getattr(repeated, name).tolist())
        assert weighted.true_positives == repeated.true_positives
        assert weighted.false_negatives == repeated.false_negatives


def test_scans_of_a_patient_are_drawn_together() -> None:
    whose = ["x", "y", "x", "z", "x"]
    samples = list(Resampling(200).weights(whose))
    assert all(w[0] == w[2] == w[4] for w in samples)
    assert {int(w[0] + w[1] + w[3]) for w in samples} == {3}  # as many patients as there are
    assert {int(w.sum()) for w in samples} == {3, 5, 7, 9}  # which is not as many scans


def test_copies_of_a_scan_narrow_an_interval_unless_they_are_known_to_be_one_patient() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=20), 5)

    def mean(weights: np.ndarray) -> dict[str, float | None]:
        return {"x": float(weights @ values / weights.sum())}

    def width(patients: list[int]) -> float:
        found = estimates(mean, patients, Resampling(400))["x"]
        assert found.low is not None
        assert found.high is not None
        return found.high - found.low

    once = estimates(lambda w: {"x": float(w @ values[::5] / w.sum())}, range(20), Resampling(400))["x"]
    assert once.low is not None
    assert once.high is not None
    assert width(list(range(100))) == pytest.approx((once.high - once.low) / 5**0.5, rel=0.2)
    assert width([n // 5 for n in range(100)]) == pytest.approx(once.high - once.low)


def test_detection_by_size() -> None:
    found = detection("cad-pe", 0.0, COHORT, Resampling(200))
    assert [(s.emboli, s.found) for s in found.sizes] == [(1, 1), (1, 1), (1, 0), (0, 0)]
    assert found.sizes[2].recall.value == 0
    assert found.sizes[3].recall == Estimate(None)
    assert found.sensitivity_at_fp[1].value == pytest.approx(2 / 3)
    interval = found.sensitivity_at_fp[1]
    assert interval.low is not None
    assert interval.high is not None
    assert 0 <= interval.low <= 2 / 3 <= interval.high <= 1
    record = found.to_dict()
    assert (record["tp"], record["fn"], record["fp"]) == (2, 1, 5)
    assert record["sensitivity_at_fp"].keys() == {"0.125", "0.25", "0.5", "1", "2", "4", "8"}
    assert detection("aanet", 2.0, COHORT, Resampling(0)).sizes == ()
