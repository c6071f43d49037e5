from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pe_nnunet.errors import ConfigurationError, GeometryError
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.instances import LabelKind, to_instances
from pe_nnunet.metrics.overlap import OverlapCriterion, contingency, match
from pe_nnunet.metrics.ratios import EmptyPolicy

UNIT = (1.0, 1.0, 1.0)


def ids(*values: int) -> NDArray[np.uint16]:
    return np.array(values, np.uint16)[None, None]


def score(finding: NDArray[np.uint16], truth: NDArray[np.uint16], overlap: str = "any") -> CaseScores:
    return evaluate_case(finding, truth, UNIT, overlap=OverlapCriterion.parse(overlap))


def counts(scores: CaseScores) -> tuple[int, int, int, int, int]:
    merged, split = int(scores["merged"] or 0), int(scores["split"] or 0)
    return scores.found, scores.emboli, scores.false_positives, merged, split


def test_perfect() -> None:
    truth = ids(1, 1, 0, 2, 0, 7)
    scores = score(truth, truth)
    assert counts(scores) == (3, 3, 0, 0, 0)
    assert (scores.dice, scores.sensitivity, scores["precision"], scores.f1) == (1, 1, 1, 1)


def test_one_finding_over_two_emboli_finds_both_and_says_they_are_merged() -> None:
    assert counts(score(ids(0, 1, 1, 1, 0, 0), ids(1, 1, 0, 2, 2, 0))) == (2, 2, 0, 2, 0)


def test_an_embolus_with_a_finding_of_its_own_is_not_merged() -> None:
    scores = score(ids(1, 1, 1, 1, 0, 2), ids(1, 1, 0, 2, 2, 2))
    assert counts(scores) == (2, 2, 0, 1, 1)


def test_two_findings_in_one_embolus_are_both_true() -> None:
    scores = score(ids(1, 0, 2, 0, 3), ids(5, 5, 5, 0, 0))
    assert counts(scores) == (1, 1, 1, 0, 1)
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx(0.8)


def test_emboli_that_touch_are_told_apart_by_their_ids() -> None:
    truth = ids(0, 1, 1, 2, 2, 0)
    assert counts(score(ids(0, 1, 0, 0, 0, 0), truth)) == (1, 2, 0, 0, 0)
    assert counts(score(to_instances(ids(0, 1, 1, 1, 1, 0)), truth)) == (2, 2, 0, 2, 0)


def test_findings_beside_an_embolus_do_not_find_it() -> None:
    scores = score(ids(0, 0, 1, 1), ids(1, 1, 0, 0))
    assert counts(scores) == (0, 1, 1, 0, 0)
    assert (scores.dice, scores.f1) == (0, 0)


def test_dice_and_volumes() -> None:
    truth, finding = ids(1, 1, 1, 0, 0), ids(0, 1, 1, 1, 1)
    scores = evaluate_case(finding, truth, (2.0, 5.0, 10.0))
    assert scores.dice == pytest.approx(4 / 7)
    assert (scores["truth_ml"], scores["predicted_ml"]) == (pytest.approx(0.3), pytest.approx(0.4))


@pytest.mark.parametrize(
    ("finding", "truth", "default", "one"),
    [
        (ids(0, 0, 0), ids(0, 0, 0), None, 0.9),
        (ids(1, 0, 0), ids(0, 0, 0), None, 0.3),
        (ids(0, 0, 0), ids(1, 0, 0), 0.0, 0.1),
    ],
)
def test_empty_sides_follow_the_policy(
    finding: NDArray[np.uint16], truth: NDArray[np.uint16], default: float | None, one: float
) -> None:
    scores = score(finding, truth)
    assert (scores.dice, scores.f1) == (default, default)
    chosen = EmptyPolicy(both_empty=0.9, label_empty=0.3, prediction_empty=0.1)
    scores = evaluate_case(finding, truth, UNIT, empty=chosen)
    assert (scores.dice, scores.f1) == (one, one)
    assert scores.positive == bool(truth.any())
    assert scores.sensitivity == (0.0 if truth.any() else None)
    assert scores["precision"] == (0.0 if finding.any() else None)
    assert scores.false_positives == int(finding.any())


def test_a_policy_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PE-EVAL-003"):
        EmptyPolicy(both_empty=2)


def test_fraction_asks_for_enough_of_both() -> None:
    truth = ids(1, 1, 1, 1, 0, 0, 0, 0)
    assert counts(score(ids(1, 1, 0, 0, 0, 0, 0, 0), truth, "fraction:0.5")) == (1, 1, 0, 0, 0)
    assert counts(score(ids(1, 0, 0, 0, 0, 0, 0, 0), truth, "fraction:0.5")) == (0, 1, 0, 0, 0)
    assert counts(score(ids(1, 0, 2, 0, 0, 0, 0, 0), truth, "fraction:0.5")) == (1, 1, 0, 0, 1)  # both together
    assert counts(score(ids(0, 0, 0, 3, 3, 3, 3, 0), truth, "fraction:0.5")) == (0, 1, 1, 0, 0)


def test_iou_pairs_one_to_one() -> None:
    truth = ids(1, 1, 1, 1, 0, 2, 2, 2)
    assert counts(score(ids(1, 1, 1, 0, 0, 2, 2, 2), truth, "iou:0.75")) == (2, 2, 0, 0, 0)
    assert counts(score(ids(1, 1, 0, 0, 0, 2, 2, 2), truth, "iou:0.75")) == (1, 2, 1, 0, 0)
    # one finding over both can be paired with one of them only; two in one embolus likewise
    assert counts(score(ids(1, 1, 1, 1, 1, 1, 1, 1), truth, "iou:0.3")) == (1, 2, 0, 1, 0)
    assert counts(score(ids(1, 1, 2, 2, 0, 0, 0, 0), truth, "iou:0.3")) == (1, 2, 1, 0, 1)


def test_iou_takes_the_most_pairs_before_the_best_overlap() -> None:
    # finding 1 overlaps embolus 1 best, but then finding 2 would have no partner
    truth = ids(*[1] * 4, *[2] * 2)
    finding = ids(*[2] * 2, *[1] * 4)
    table = contingency(finding, truth)
    assert table.common_voxels.tolist() == [[2, 2], [2, 0]]
    assert set(table.truth_ids[match(table, OverlapCriterion("iou", 0.3))[0]].tolist()) == {1, 2}


@pytest.mark.parametrize("text", ["any", "fraction:0.3", "iou:0.25"])
def test_criteria_are_written_as_they_are_read(text: str) -> None:
    assert str(OverlapCriterion.parse(text)) == text


@pytest.mark.parametrize("text", ["some", "iou", "iou:0", "iou:1.5", "iou:x", "fraction:", "any:0.5", "iou:nan"])
def test_other_criteria_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PE-EVAL-003"):
        OverlapCriterion.parse(text)


def test_shapes_must_agree() -> None:
    with pytest.raises(GeometryError, match=r"PE-GEO-001.*case a"):
        evaluate_case(ids(1), ids(1, 0), UNIT, case_id="a")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("auto", [0, 1, 1, 2, 0, 2]),
        ("instances", [0, 1, 1, 2, 0, 2]),
        ("binary", [0, 1, 1, 1, 0, 2]),
        ("class:2", [0, 0, 0, 1, 0, 2]),
        ("class:1", [0, 1, 1, 0, 0, 0]),
    ],
)
def test_what_label_values_mean(kind: str, expected: list[int]) -> None:
    assert to_instances(ids(0, 1, 1, 2, 0, 2), LabelKind.parse(kind))[0, 0].tolist() == expected
    assert str(LabelKind.parse(kind)) == kind


def test_a_single_value_is_a_mask() -> None:
    assert to_instances(ids(255, 0, 255))[0, 0].tolist() == [1, 0, 2]
    assert to_instances(np.array([[[True, False, True]]]))[0, 0].tolist() == [1, 0, 2]
    assert to_instances(ids(255, 0, 255), LabelKind("instances"))[0, 0].tolist() == [255, 0, 255]
    assert to_instances(ids(0, 0))[0, 0].tolist() == [0, 0]


@pytest.mark.parametrize("text", ["", "class", "class:0", "class:x", "instances:1", "masks"])
def test_other_label_kinds_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PE-EVAL-003"):
        LabelKind.parse(text)


def slow_counts(finding: NDArray[np.uint16], truth: NDArray[np.uint16]) -> tuple[int, int, int, int, int]:
    """Any overlap, written down with sets of voxels."""
    emboli = [set(map(tuple, np.argwhere(truth == k))) for k in np.unique(truth[truth > 0])]
    findings = [set(map(tuple, np.argwhere(finding == k))) for k in np.unique(finding[finding > 0])]
    found = [e for e in emboli if any(e & f for f in findings)]
    false = [f for f in findings if not any(e & f for e in emboli)]
    shared = [f for f in findings if sum(bool(e & f) for e in emboli) > 1]
    merged = [e for e in found if all(f in shared for f in findings if e & f)]
    split = [e for e in emboli if sum(bool(e & f) for f in findings) > 1]
    return len(found), len(emboli), len(false), len(merged), len(split)


small_maps = hnp.arrays(np.uint16, (2, 3, 4), elements=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 900]))


@settings(max_examples=200, deadline=None)
@given(finding=small_maps, truth=small_maps)
def test_agrees_with_sets_of_voxels(finding: NDArray[np.uint16], truth: NDArray[np.uint16]) -> None:
    scores = score(finding, truth)
    assert counts(scores) == slow_counts(finding, truth)
    if finding.any() and truth.any():
        common = ((finding > 0) & (truth > 0)).sum()
        assert scores.dice == pytest.approx(2 * common / ((finding > 0).sum() + (truth > 0).sum()))


@settings(max_examples=100, deadline=None)
@given(finding=small_maps, truth=small_maps, least=st.sampled_from([0.1, 0.5, 0.7]))
def test_iou_above_a_half_needs_no_assignment(
    finding: NDArray[np.uint16], truth: NDArray[np.uint16], least: float
) -> None:
    scores = score(finding, truth, f"iou:{least}")
    pairs = [
        (f, e)
        for f in np.unique(finding[finding > 0])
        for e in np.unique(truth[truth > 0])
        if ((finding == f) & (truth == e)).sum() / ((finding == f) | (truth == e)).sum() >= least
    ]
    assert scores.found == scores.findings - scores.false_positives <= len(pairs)
    if least > 0.5:
        assert scores.found == len(pairs)
