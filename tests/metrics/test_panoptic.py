"""Instance metrics: hand-made scans of known answer, and every pairing in turn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pe_nnunet.metrics.outlines import matched_dice, panoptic_quality
from pe_nnunet.metrics.overlap import contingency
from pe_nnunet.metrics.ratios import EmptyPolicy


def score(finding: list[int], truth: list[int], policy: EmptyPolicy | None = None) -> tuple[float | None, float | None]:
    table = contingency(np.array(finding)[None, None], np.array(truth)[None, None])
    return panoptic_quality(table, policy or EmptyPolicy()), matched_dice(table, policy or EmptyPolicy())


def test_perfect() -> None:
    assert score([1, 1, 0, 2], [7, 7, 0, 3]) == (1, 1)


def test_one_outlined_well_one_badly_one_missed_one_false() -> None:
    found = [1, 1, 1, 0, 2, 0, 0, 0, 0, 0, 4]
    truth = [1, 1, 1, 1, 2, 2, 2, 0, 3, 0, 0]
    quality, dice = score(found, truth)
    assert quality == pytest.approx(0.75 / 3)  # of 3 findings and 3 emboli, one pair above a half
    assert dice == pytest.approx((6 / 7 + 2 / 4) / 2)


def test_merged_and_broken_emboli_are_paired_once() -> None:
    merged = score([1, 1, 1, 1, 1], [1, 1, 1, 0, 2])
    assert merged == (pytest.approx(0.6 / 1.5), pytest.approx(6 / 8))
    broken = score([1, 1, 1, 0, 2], [1, 1, 1, 1, 1])
    assert broken == (pytest.approx(0.6 / 1.5), pytest.approx(6 / 8))


def test_exactly_half_is_no_pair_of_panoptic_quality() -> None:
    assert score([1, 0], [1, 1]) == (0, pytest.approx(2 / 3))


def test_empty_sides_follow_the_policy() -> None:
    chosen = EmptyPolicy(both_empty=0.9, label_empty=0.3, prediction_empty=0.1)
    sides = (([0], [0]), ([1], [0]), ([0], [1]))
    assert [score(f, t) for f, t in sides] == [(v, None) for v in (None, None, 0.0)]
    assert [score(f, t, chosen) for f, t in sides] == [(v, None) for v in (0.9, 0.3, 0.1)]


maps = hnp.arrays(np.uint16, (2, 3, 4), elements=st.sampled_from([0, 0, 1, 2, 3, 900]))


@settings(max_examples=60, deadline=None)
@given(maps, maps)
def test_against_every_pairing_in_turn(finding: NDArray[np.uint16], truth: NDArray[np.uint16]) -> None:
    findings, emboli = ([ids == k for k in np.unique(ids[ids > 0])] for ids in (finding, truth))
    if not findings or not emboli:
        return
    short, long = sorted((findings, emboli), key=len)
    best, dices = -1.0, []
    for order in permutations(long, len(short)):
        overlaps = [(a & b).sum() / (a | b).sum() for a, b in zip(short, order, strict=True)]
        if sum(overlaps) > best + 1e-9:
            best = sum(overlaps)
            dices = [2 * v / (1 + v) for v in overlaps if v > 0]
    good = [v for f in findings for e in emboli if (v := (f & e).sum() / (f | e).sum()) > 0.5]
    table = contingency(finding, truth)
    assert panoptic_quality(table, EmptyPolicy()) == pytest.approx(sum(good) / (len(findings) + len(emboli)) * 2)
    if dices and len(short) == 1:  # of several, more than one pairing may be the best
        assert matched_dice(table, EmptyPolicy()) == pytest.approx(np.mean(dices))
