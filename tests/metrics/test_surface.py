"""Surface metrics: shapes of known answer, and the published implementation as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.outlines import surface_of
from pe_nnunet.metrics.ratios import EmptyPolicy
from pe_nnunet.voxels import Box, boxes_by_id, islands

POLICY = EmptyPolicy()
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # surface_distance's old imports


def surface_scores(
    found: NDArray[np.uint8],
    true: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float,
    policy: EmptyPolicy,
) -> CaseScores:
    return evaluate_case(found, true, spacing_mm, surface_tolerance_mm=tolerance_mm, empty=policy)


def three(scores: CaseScores) -> tuple[float | None, ...]:
    return scores["surface_dice"], scores["hd95_mm"], scores["assd_mm"]


def cube(start: int, stop: int, size: int = 20) -> NDArray[np.uint8]:
    mask = np.zeros((size, size, size), np.uint8)
    mask[start:stop, start:stop, start:stop] = 1
    return mask


def shifted(mask: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    return np.roll(mask, by, axis=0)


def test_the_same_twice() -> None:
    mask = cube(0, 20)  # touches every border, and is closed there
    assert three(surface_scores(mask, mask, (2, 1, 1), 0, POLICY)) == (1, 0, 0)


def test_two_plates_a_known_distance_apart() -> None:
    plate, other = np.zeros((2, 12, 30, 30), np.uint8)
    plate[2], other[7] = 1, 1
    scores = surface_scores(other, plate, (0.5, 1, 1), 1, POLICY)
    assert scores["surface_dice"] == 0
    assert scores["hd95_mm"] == pytest.approx(2.5)  # five slices of half a millimetre, less what faces the other plate
    assert scores["assd_mm"] == pytest.approx(2.25, abs=0.02)
    assert surface_scores(other, plate, (0.5, 1, 1), 2.5, POLICY)["surface_dice"] == 1


def test_a_shift_moves_the_two_faces_across_it_and_no_others() -> None:
    mask = cube(5, 15)
    scores = surface_scores(shifted(mask, 3), mask, (1, 1, 1), 1, POLICY)
    areas = surface_of(mask, (1, 1, 1))[1]
    assert areas.sum() == pytest.approx(600, rel=0.1)  # six faces; marching cubes cuts the edges
    assert scores["hd95_mm"] == pytest.approx(3)
    assert 0.5 < (scores["surface_dice"] or 0) < 0.8  # four of six faces, the parts beyond the other's end aside


def test_the_tolerance_is_inclusive_in_floats() -> None:
    plate, other = np.zeros((2, 12, 8, 8), np.uint8)
    plate[2:4], other[3:5] = 1, 1
    assert surface_scores(other, plate, (0.7, 0.7, 0.7), 0.7, POLICY)["surface_dice"] == 1


def test_empty_sides_follow_the_policy_and_have_no_distance() -> None:
    mask, nothing = cube(5, 9), cube(5, 5)
    chosen = EmptyPolicy(both_empty=0.9, label_empty=0.3, prediction_empty=0.1)
    for policy, values in ((POLICY, (None, None, 0.0)), (chosen, (0.9, 0.3, 0.1))):
        for (found, true), value in zip(((nothing, nothing), (mask, nothing), (nothing, mask)), values, strict=True):
            assert three(surface_scores(found, true, (1, 1, 1), 1, policy)) == (value, None, None)


def around(ids: NDArray[np.uint16]) -> list[Box]:
    return islands(boxes_by_id(ids).values())


def test_islands_hold_every_voxel_once() -> None:
    ids = np.zeros((3, 9, 9), np.uint16)
    ids[0, 0, 0], ids[0, 0, 1], ids[2, 8, 8], ids[0, 2, 0] = 1, 2, 7, 9
    boxes = around(ids)
    assert sum(int((ids[box.slices] != 0).sum()) for box in boxes) == 4
    assert len(boxes) == 3
    ids[1, 1, 0] = 3  # a bridge by corners
    assert len(around(ids)) == 2


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(1.0, 1.0, 1.0), (2.0, 0.7, 0.7), (0.6, 0.8, 0.8)]), st.integers(0, 3))
def test_blobs_against_the_published_implementation(seed: int, spacing: tuple[float, float, float], shift: int) -> None:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(2, 16, 18, 18)), (0, 2, 2, 2))
    truth, found = field[0] > 0.03, np.roll(field[0] + field[1] / 4, shift, axis=1) > 0.035
    if not truth.any() or not found.any():
        return
    oracle = surface_distance.compute_surface_distances(truth, found, spacing)
    scores = surface_scores(found.astype(np.uint8), truth.astype(np.uint8), spacing, 1.0, POLICY)
    to_found, to_truth = surface_distance.compute_average_surface_distance(oracle)
    # Their table and scikit-image's differ in a few ambiguous patterns of eight voxels, by a sliver of area.
    assert scores["surface_dice"] == pytest.approx(
        surface_distance.compute_surface_dice_at_tolerance(oracle, 1.0), abs=0.01
    )
    # The same slivers move the area at which a distance is read, so a step of the distances that lies at 95 % may be
    # on either side of it.
    below, above = (surface_distance.compute_robust_hausdorff(oracle, percent) for percent in (94.5, 95.5))
    hd95_mm = scores["hd95_mm"]
    assert hd95_mm is not None
    assert below - 0.3 <= hd95_mm <= above + 0.3
    assert min(to_found, to_truth) - 0.02 <= (scores["assd_mm"] or 0) <= max(to_found, to_truth) + 0.02
