"""The two FROC protocols: hand-made scans of known answer, and a slow, obvious implementation of each."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_curve

from pe_nnunet.metrics.froc import ScanHits, froc
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.metrics.protocols import PROTOCOLS, aanet_hits, cad_pe_hits, score, sensitivity_at

UNIT = (1.0, 1.0, 1.0)
Row = tuple[tuple[int, int, int], float]


def line(*values: int) -> NDArray[np.uint16]:
    return np.array(values, np.uint16)[None, None]


def marks(*rows: tuple[int, float]) -> list[VoxelMarker]:
    return [VoxelMarker((0, 0, x), probability) for x, probability in rows]


def both(truth: NDArray[np.uint16], markers: list[VoxelMarker], eps: float) -> tuple[ScanHits, ScanHits]:
    return cad_pe_hits("a", truth, markers, UNIT, [eps])[0], aanet_hits("a", truth, markers, UNIT, [eps])[0]


def test_two_emboli_and_one_finding_between_them() -> None:
    truth = line(1, 0, 0, 0, 2)
    cad_pe, aanet = both(truth, marks((2, 0.9)), 2)
    assert (cad_pe.embolus_scores, cad_pe.false_scores) == ((0.9, 0.9), ())  # within 2 mm of both
    assert (aanet.embolus_scores, aanet.false_scores) == ((0.9,), ())  # grown together to one
    cad_pe, aanet = both(truth, marks((2, 0.9)), 0)
    assert cad_pe.embolus_scores == aanet.embolus_scores == (None, None)
    assert cad_pe.false_scores == aanet.false_scores == (0.9,)


def test_one_embolus_broken_in_two_by_its_findings_counts_once_with_its_best_score() -> None:
    for hits in both(line(1, 1, 1, 1), marks((0, 0.4), (3, 0.7), (3, 0.7)), 0):
        assert (hits.embolus_scores, hits.false_scores) == ((0.7,), ())


@pytest.mark.parametrize("place", [0, 6])
def test_a_marker_exactly_at_eps_hits_and_one_beyond_does_not(place: int) -> None:
    for hits in both(line(0, 0, 3, 3, 3, 0, 0), marks((place, 0.9)), 2):
        assert hits.embolus_scores[-1] == 0.9
    for hits in both(line(0, 0, 0, 3, 0, 0, 0), marks((place, 0.9)), 2):
        assert (hits.embolus_scores, hits.false_scores) == ((None,), (0.9,))


def test_eps_is_in_mm_and_the_published_dilation_rounds_up_to_voxels() -> None:
    truth, marker = line(1, 0, 0, 0), marks((2, 0.9))
    assert cad_pe_hits("a", truth, marker, (1, 1, 0.7), [1.4])[0].embolus_scores == (0.9,)  # 1.4 mm away, in floats
    assert cad_pe_hits("a", truth, marker, (1, 1, 0.7), [1.3])[0].embolus_scores == (None,)
    assert aanet_hits("a", truth, marker, (1, 1, 0.7), [1.3])[0].embolus_scores == (0.9,)  # ceil(1.3 / 0.7) = 2 voxels


def test_touching_emboli() -> None:
    truth = line(1, 1, 2, 2)
    cad_pe, aanet = both(truth, marks((0, 0.9)), 0)
    assert cad_pe.embolus_scores == aanet.embolus_scores == (0.9, None)
    cad_pe, aanet = both(truth, marks((0, 0.9)), 1)
    assert cad_pe.embolus_scores == (0.9, None)  # 2 mm from the second
    assert aanet.embolus_scores == (0.9,)


def test_an_absent_id_counts_as_missed_under_aanet_at_eps_0_alone() -> None:
    truth, marker = line(1, 0, 0, 0, 0, 4), marks((0, 0.9), (5, 0.8))
    assert both(truth, marker, 0)[1].embolus_scores == (0.9, None, None, 0.8)
    assert both(truth, marker, 0)[0].embolus_scores == (0.9, 0.8)
    assert both(truth, marker, 1)[1].embolus_scores == (0.9, 0.8)


def test_markers_under_a_tenth_are_left_out_by_aanet_alone() -> None:
    cad_pe, aanet = both(line(1, 0), marks((0, 0.09), (1, 0.099), (1, 0.1)), 0)
    assert (cad_pe.embolus_scores, cad_pe.false_scores) == ((0.09,), (0.099, 0.1))
    assert (aanet.embolus_scores, aanet.false_scores) == ((None,), (0.1,))


@pytest.mark.parametrize("eps", [0.0, 2.0])
def test_nothing_on_one_side_or_both(eps: float) -> None:
    for hits in both(line(0, 0), marks((0, 0.9)), eps):
        assert (hits.embolus_scores, hits.false_scores) == ((), (0.9,))
    for hits in both(line(1, 0), [], eps):
        assert (hits.embolus_scores, hits.false_scores) == ((None,), ())
    for hits in both(line(0, 0), [], eps):
        assert (hits.embolus_scores, hits.false_scores) == ((), ())


def test_a_marker_outside_the_scan_hits_nothing() -> None:
    for hits in both(line(1, 1), [VoxelMarker((0, 0, -1), 0.9), VoxelMarker((9, 0, 0), 0.8)], 0):
        assert (hits.embolus_scores, hits.false_scores) == ((None,), (0.9, 0.8))


def test_a_curve_of_known_answer() -> None:
    scans = [ScanHits("a", (0.9, 0.6, None), (0.8, 0.6)), ScanHits("b", (), (0.4,))]
    curve = froc(scans)
    assert curve.fp_per_scan.tolist() == [0, 0, 0.5, 1.0, 1.5]
    assert curve.sensitivity.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert (curve.true_positives, curve.false_negatives, curve.false_positives) == (2, 1, 3)
    assert sensitivity_at(curve, 1.0, "cad-pe") == pytest.approx(2 / 3)
    assert sensitivity_at(curve, 1.0, "aanet") == pytest.approx(1 / 3)  # fewer than 1, not 1
    assert score(curve, "cad-pe") == pytest.approx((2 / 3 * 4 + 1 / 3 * 3) / 7)


def test_curves_of_cohorts_without_emboli_or_markers() -> None:
    assert score(froc([ScanHits("a", (), (0.5,))]), "aanet") is None
    empty = froc([ScanHits("a", (None,), ()), ScanHits("b", (), ())])
    assert (score(empty, "cad-pe"), score(empty, "aanet")) == (0, 0)
    perfect = froc([ScanHits("a", (0.9, 0.8), ())])
    assert (score(perfect, "cad-pe"), score(perfect, "aanet")) == (1, 1)


# -- the slow, obvious implementations ------------------------------------------------------------------------------


def slow_cad_pe(truth: NDArray[np.uint16], rows: list[Row], spacing: tuple[float, ...], eps: float) -> ScanHits:
    emboli = sorted(set(truth.ravel().tolist()) - {0})
    best: dict[int, float | None] = dict.fromkeys(emboli)
    false = []
    for place, probability in rows:
        hit = False
        for embolus in emboli:
            away = min(math.dist(np.multiply(voxel, spacing), np.multiply(place, spacing)) for voxel in
                       zip(*np.nonzero(truth == embolus), strict=True))  # fmt: skip
            if away <= eps + 1e-6:
                hit = True
                best[embolus] = max(probability, best[embolus] or 0)
        if not hit:
            false.append(probability)
    return ScanHits("a", tuple(best.values()), tuple(false))


def slow_dilation(mask: NDArray[np.bool_], radius: list[int]) -> NDArray[np.bool_]:
    """ITK's ball: the ellipsoid whose half axes are the radii and half a voxel."""
    grown = np.zeros_like(mask)
    for z, y, x in np.ndindex(mask.shape):
        for voxel in zip(*np.nonzero(mask), strict=True):
            off = [(a - b) / (r + 0.5) for a, b, r in zip((z, y, x), voxel, radius, strict=True)]
            grown[z, y, x] |= sum(part**2 for part in off) <= 1
    return grown


def slow_aanet(truth: NDArray[np.uint16], rows: list[Row], spacing: tuple[float, ...], eps: float) -> ScanHits:
    if eps > 0:
        grown = slow_dilation(truth > 0, [math.ceil(eps / mm) for mm in spacing])
        truth = ndimage.label(grown, structure=np.ones((3, 3, 3)))[0]
    rows = [row for row in rows if row[1] >= 0.1]
    best, used = [], set()
    for embolus in range(1, int(truth.max()) + 1):
        inside = [n for n, (place, _) in enumerate(rows) if truth[place] == embolus]
        used.update(inside)
        best.append(max((rows[n][1] for n in inside), default=None))
    return ScanHits("a", tuple(best), tuple(p for n, (_, p) in enumerate(rows) if n not in used))


def slow_aanet_reading(scans: list[ScanHits]) -> list[float]:
    """By scikit-learn's roc_curve, as published."""
    hit = [s for scan in scans for s in scan.embolus_scores if s is not None]
    false = [s for scan in scans for s in scan.false_scores]
    emboli = sum(len(scan.embolus_scores) for scan in scans)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fpr, tpr, _ = roc_curve([1] * len(hit) + [0] * len(false), hit + false)
    rates = np.zeros(len(fpr)) if not false else np.rint(fpr * len(false)) / len(scans)
    sensitivity = tpr * len(hit) / emboli
    return [sensitivity[(rates < k).sum() - 1] for k in PROTOCOLS["aanet"].fp_rates]


@st.composite
def scan(draw: st.DrawFn) -> tuple[NDArray[np.uint16], list[Row], tuple[float, ...]]:
    shape = (4, 5, 6)
    place = st.tuples(*(st.integers(0, n - 1) for n in shape))
    truth = np.zeros(shape, np.uint16)
    for embolus, voxels in enumerate(draw(st.lists(st.lists(place, max_size=3), max_size=3)), 1):
        for voxel in voxels:
            truth[voxel] = embolus
    rows = draw(st.lists(st.tuples(place, st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.5, 0.9])), max_size=5))
    return truth, rows, draw(st.sampled_from([(1.0, 1.0, 1.0), (2.0, 0.7, 0.7), (0.5, 0.8, 0.6)]))


@settings(max_examples=25, deadline=None)
@given(scan(), st.sampled_from([0.0, 0.7, 1.0, 2.0]))
def test_both_protocols_against_the_obvious(
    case: tuple[NDArray[np.uint16], list[Row], tuple[float, ...]], eps: float
) -> None:
    truth, rows, spacing = case
    markers = [VoxelMarker(place, probability) for place, probability in rows]
    slow, (fast,) = slow_cad_pe(truth, rows, spacing, eps), cad_pe_hits("a", truth, markers, spacing, [eps])
    assert (fast.embolus_scores, fast.false_scores) == (slow.embolus_scores, slow.false_scores)
    assert fast.volumes_mm3 == pytest.approx(
        [n * np.prod(spacing) for n in np.bincount(truth.ravel())[1:] if n], rel=1e-9
    )
    slow, fast = slow_aanet(truth, rows, spacing, eps), aanet_hits("a", truth, markers, spacing, [eps])[0]
    assert sorted(map(str, fast.embolus_scores)) == sorted(map(str, slow.embolus_scores))  # numbered in another order
    assert fast.false_scores == slow.false_scores


probabilities = st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
scans = st.lists(
    st.builds(
        lambda hit, false: ScanHits("a", tuple(hit), tuple(false)),
        st.lists(st.none() | probabilities, max_size=5),
        st.lists(probabilities, max_size=9),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(scans)
def test_the_published_reading_against_scikit_learn(cohort: list[ScanHits]) -> None:
    if all(best is None for scan in cohort for best in scan.embolus_scores):
        return  # roc_curve is not defined
    curve = froc(cohort)
    fast = [sensitivity_at(curve, rate, "aanet") for rate in PROTOCOLS["aanet"].fp_rates]
    assert fast == pytest.approx(slow_aanet_reading(cohort))
    assert score(curve, "aanet") == pytest.approx(np.mean(slow_aanet_reading(cohort)))


@settings(max_examples=25, deadline=None)
@given(scans)
def test_the_plain_reading_against_every_threshold_in_turn(cohort: list[ScanHits]) -> None:
    emboli = sum(len(scan.embolus_scores) for scan in cohort)
    curve = froc(cohort)
    for rate in PROTOCOLS["cad-pe"].fp_rates:
        best = 0.0
        for threshold in np.arange(0.05, 1.05, 0.1):
            false = sum(s >= threshold for scan in cohort for s in scan.false_scores)
            hit = sum(s is not None and s >= threshold for scan in cohort for s in scan.embolus_scores)
            if emboli and false / len(cohort) <= rate:
                best = max(best, hit / emboli)
        assert sensitivity_at(curve, rate, "cad-pe") == (pytest.approx(best) if emboli else None)
