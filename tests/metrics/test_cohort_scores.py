from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.cohort_scores import summarise
from pe_nnunet.metrics.froc import ScanHits, froc, operating_points
from pe_nnunet.metrics.markers import Marker, VoxelMarker, markers_of_table
from pe_nnunet.metrics.ratios import EmptyPolicy


def line(*values: int) -> np.ndarray:
    return np.array(values, np.uint16)[None, None]


CASES = [
    evaluate_case(line(1, 1, 0, 0, 2), line(1, 1, 0, 2, 0), (10, 10, 10), case_id="half"),  # 1 of 2, 1 false, Dice 2/3
    evaluate_case(line(0, 0, 0, 0, 0), line(1, 1, 0, 0, 0), (10, 10, 10), case_id="missed"),  # Dice 0
    evaluate_case(line(1, 0, 2, 0, 0), line(0, 0, 0, 0, 0), (10, 10, 10), case_id="false"),  # 2 false, 2 ml
    evaluate_case(line(0, 0, 0, 0, 0), line(0, 0, 0, 0, 0), (10, 10, 10), case_id="quiet"),
]


def test_a_cohort_of_known_answer() -> None:
    cohort = summarise(CASES)
    assert (cohort["scans"], cohort["positive_scans"]) == (4, 2)
    assert cohort.dice == pytest.approx(1 / 3)
    assert cohort["dice_negative"] is None
    assert (cohort.emboli, cohort.found, cohort.sensitivity) == (3, 1, pytest.approx(1 / 3))
    assert (cohort.findings, cohort.false_positives, cohort.false_positives_per_scan) == (4, 3, 0.75)
    assert (cohort["precision"], cohort.f1) == (0.25, pytest.approx(2 * 0.25 / 3 / (0.25 + 1 / 3)))
    assert cohort["volume_error_ml"] == pytest.approx(1.0)  # 3 against 3 ml, and 0 against 2


def test_scans_without_emboli_are_reported_apart() -> None:
    cohort = summarise(CASES)
    assert [cohort[f"negative_{name}"] for name in ("scans", "clean", "false_positives")] == [2, 1, 2]
    assert cohort["negative_false_positives_per_scan"] == 1.0
    assert cohort["negative_predicted_ml"] == pytest.approx(1.0)
    assert (cohort["patient_true_positive"], cohort["patient_false_negative"]) == (1, 1)
    assert (cohort["patient_true_negative"], cohort["patient_false_positive"]) == (1, 1)
    assert (cohort["patient_sensitivity"], cohort["patient_specificity"]) == (0.5, 0.5)


def test_the_policy_can_give_negatives_a_dice_of_their_own() -> None:
    policy = EmptyPolicy(both_empty=1.0, label_empty=0.0)
    cases = [
        evaluate_case(line(0), line(0), (1, 1, 1), empty=policy),
        evaluate_case(line(1), line(0), (1, 1, 1), empty=policy),
        evaluate_case(line(1), line(1), (1, 1, 1), empty=policy),
    ]
    cohort = summarise(cases, empty=policy)
    assert (cohort.dice, cohort["dice_negative"]) == (1.0, 0.5)


def test_what_is_not_defined_is_none() -> None:
    cohort = summarise([])
    assert (cohort.dice, cohort.sensitivity, cohort.false_positives_per_scan, cohort.f1) == (None, None, None, None)
    assert (cohort["negative_predicted_ml"], cohort["patient_specificity"]) == (None, None)
    only_positive = summarise(CASES[:2])
    assert only_positive["patient_specificity"] is None
    assert only_positive["negative_false_positives_per_scan"] is None


def test_sensitivity_at_a_budget_of_false_positives() -> None:
    # 0.8 is the score of an embolus and of something false: both or none
    curve = froc([ScanHits("a", (0.9, 0.5), (0.8,)), ScanHits("b", (0.8, None), (0.6, 0.4))])
    none, half, one, many = operating_points(curve, [0, 0.5, 1, 10])
    assert tuple(none.values())[1:] == (0.9, 0.25, 0.0)
    assert tuple(half.values())[1:] == (0.8, 0.5, 0.5)
    assert tuple(one.values())[1:] == (0.5, 0.75, 1.0)
    assert tuple(many.values())[1:] == (0.4, 0.75, 1.5)


def test_a_budget_that_nothing_meets() -> None:
    (point,) = operating_points(froc([ScanHits("a", (None,), (0.9,))]), [0.5])
    assert tuple(point.values())[1:] == (None, 0.0, 0.0)
    (point,) = operating_points(froc([ScanHits("a", (None,), ())]), [1])
    assert (point["threshold"], point["sensitivity"]) == (None, 0.0)


def test_tables_are_brought_onto_the_grid() -> None:
    grid = sitk.Image((5, 4, 3), sitk.sitkUInt8)
    grid.SetOrigin((100.0, -20.0, 5.0))
    grid.SetSpacing((0.5, 2.0, 3.0))
    rows = [Marker(1, (102.0, -18.0, 11.0), 0.5, None, True), Marker(2, (99.0, -18.0, 8.0), 0.4, None, True)]
    assert markers_of_table(rows, grid) == (VoxelMarker((2, 1, 4), 0.5), VoxelMarker((1, 1, -2), 0.4))


def test_auroc_of_scans_needs_ten_negatives_and_a_score_of_each() -> None:
    def scan(emboli: int, score: float | None) -> CaseScores:
        return evaluate_case(line(0), line(emboli), (1, 1, 1), pe_score=score)

    high, negatives = [scan(1, 0.9), scan(1, 0.5)], [scan(0, k / 10) for k in range(10)]
    assert summarise([*high, *negatives[1:]])["patient_auroc"] is None
    assert summarise([*high, *negatives[1:], scan(0, None)])["patient_auroc"] is None
    # 0.9 is above nine and ties with one; 0.5 above five and ties with one
    assert summarise([*high, *negatives])["patient_auroc"] == pytest.approx((9.5 + 5.5) / 20)
