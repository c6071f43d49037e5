from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.dataset_conversion.splits import make_splits

Case = tuple[str, float]  # patient, clot in mm3

cohorts = st.dictionaries(
    st.text("abcdefghij0123456789", min_size=1, max_size=4),
    st.tuples(st.sampled_from([f"p{k}" for k in range(12)]), st.sampled_from([0.0, 0.0, 5.0, 800.0, 4e4])),
    max_size=40,
)


def single_scans(clot_mm3: list[float]) -> dict[str, Case]:
    return {f"case{k:03d}": (f"patient{k:03d}", clot) for k, clot in enumerate(clot_mm3)}


@given(cohorts, st.integers(2, 6), st.integers(0, 3))
@settings(deadline=None)
def test_every_case_is_validated_once_and_no_patient_twice(cases: dict[str, Case], folds: int, seed: int) -> None:
    splits = make_splits(cases, folds=folds, seed=seed)
    patients = {patient for patient, _ in cases.values()}
    assert len(splits) == (min(folds, len(patients)) if len(patients) > 1 else 0)
    if not splits:
        return
    assert sorted(case for fold in splits for case in fold["val"]) == sorted(cases)
    for fold in splits:
        assert fold["val"]
        assert fold["train"]
        assert sorted(fold["train"] + fold["val"]) == sorted(cases)
        assert not {cases[c][0] for c in fold["train"]} & {cases[c][0] for c in fold["val"]}


@given(st.lists(st.sampled_from([0.0, 1.0, 50.0, 1e4]), min_size=2, max_size=60), st.integers(2, 6))
@settings(deadline=None)
def test_folds_differ_by_one_at_most_in_scans_positives_and_negatives(clot_mm3: list[float], folds: int) -> None:
    cases = single_scans(clot_mm3)
    splits = make_splits(cases, folds=folds, seed=0)
    for wanted in ({True, False}, {True}, {False}):
        sizes = [sum((cases[c][1] > 0) in wanted for c in fold["val"]) for fold in splits]
        assert max(sizes) - min(sizes) <= 1


def test_each_fold_sees_the_whole_range_of_burden() -> None:
    rng = np.random.default_rng(0)
    cases = single_scans(list(np.exp(rng.normal(math.log(6600), 1.5, 50))))
    ranks = {case: rank for rank, case in enumerate(sorted(cases, key=lambda c: cases[c][1]))}
    for fold in make_splits(cases, folds=5, seed=0):
        assert Counter(ranks[c] // 5 for c in fold["val"]) == dict.fromkeys(range(10), 1)  # one of each tenth
    burdens = [sum(cases[c][1] for c in fold["val"]) for fold in make_splits(cases, folds=5, seed=0)]
    assert max(burdens) < 1.3 * min(burdens)  # dealt out at random: 3.0 times, median of 200


def test_the_seed_decides_and_the_order_of_cases_does_not() -> None:
    cases = single_scans([10.0] * 12 + [0.0] * 8)
    backwards = dict(reversed(cases.items()))
    assert make_splits(cases, folds=5, seed=1) == make_splits(backwards, folds=5, seed=1)
    assert make_splits(cases, folds=5, seed=1) != make_splits(cases, folds=5, seed=2)


@pytest.mark.parametrize("cases", [{}, {"a": ("p", 1.0), "b": ("p", 0.0)}])
def test_one_patient_cannot_be_split(cases: dict[str, Case]) -> None:
    assert make_splits(cases, folds=5, seed=0) == []
