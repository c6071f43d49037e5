from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from pe_nnunet.errors import ConfigurationError, GeometryError, InputError
from pe_nnunet.fusion import Candidate, Emboli, FusionSettings, find_emboli

UNIT = (1.0, 1.0, 1.0)
FULL = np.ones((3, 3, 3))


def line(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)[None, None]


def rows(found: Emboli) -> list[tuple[int, float, float, bool]]:
    return [(c.id, round(c.probability, 4), c.volume_mm3, c.kept) for c in found.candidates]


def test_hysteresis_extent_follows_the_lower_threshold_and_decision_the_seed() -> None:
    probability = line(0.5, 0.8, 0.5, 0.2, 0, 0.6, 0.6, 0)
    found = find_emboli(probability, UNIT, FusionSettings(seed_threshold=0.7, min_volume_mm3=0))
    assert found.labels[0, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert rows(found) == [(1, 0.8, 3.0, True), (2, 0.6, 2.0, False)]
    assert found.pe_score == pytest.approx(0.8)
    assert found.volume_mm3 == 3.0


def test_two_clots_joined_by_a_faint_bridge_are_two_rows_and_the_bridge_none() -> None:
    found = find_emboli(line(0.6, 0.1, 0.9, 0.1, 0.06), UNIT, FusionSettings(min_volume_mm3=0))
    assert rows(found) == [(1, 0.9, 1.0, True), (2, 0.6, 1.0, True)]
    assert found.labels[0, 0].tolist() == [2, 0, 1, 0, 0]


def test_a_speck_beside_a_kept_embolus_in_one_candidate_is_not_listed_twice() -> None:
    found = find_emboli(line(0.9, 0.9, 0.1, 0.8), UNIT, FusionSettings(min_volume_mm3=2))
    assert rows(found) == [(1, 0.9, 2.0, True)]


def test_a_finding_that_is_too_small_stays_a_candidate_with_its_candidate_volume() -> None:
    found = find_emboli(line(0.1, 0.9, 0.1, 0, 0.3), UNIT, FusionSettings(min_volume_mm3=2))
    assert rows(found) == [(1, 0.9, 3.0, False), (2, 0.3, 1.0, False)]
    assert not found.labels.any()
    assert found.kept == ()
    assert found.pe_score == pytest.approx(0.9)


def test_thresholds_and_volume_are_at_least() -> None:
    settings_ = FusionSettings(threshold=0.5, seed_threshold=0.7, min_volume_mm3=0.3)
    found = find_emboli(line(0.7, 0.5, 0.5, 0.0, 0.05), (1, 1, 0.1), settings_)
    assert [c.kept for c in found.candidates] == [True, False]
    assert found.candidates[0].volume_mm3 == pytest.approx(0.3)
    assert found.candidates[0].mean_probability == pytest.approx(1.7 / 3, abs=1e-6)


def test_corners_touch() -> None:
    probability = np.zeros((2, 2, 2), np.float32)
    probability[0, 0, 0] = probability[1, 1, 1] = 0.9
    assert len(find_emboli(probability, UNIT, FusionSettings(min_volume_mm3=2)).kept) == 1


def test_the_marker_of_a_plateau_is_its_middle() -> None:
    probability = np.zeros((5, 7, 7), np.float32)
    probability[1:4, 1:6, 1:6] = 1.0
    found = find_emboli(probability, UNIT)
    assert found.kept[0].voxel_zyx == (2, 3, 3)


def test_kept_come_first_then_the_others_each_by_score() -> None:
    found = find_emboli(line(0.55, 0, 0.95, 0, 0.6, 0.6, 0, 0.3, 0, 0.4), UNIT, FusionSettings(min_volume_mm3=2))
    assert rows(found) == [
        (1, 0.6, 2.0, True),
        (2, 0.95, 1.0, False),
        (3, 0.55, 1.0, False),
        (4, 0.4, 1.0, False),
        (5, 0.3, 1.0, False),
    ]


def test_outside_the_region_of_interest_there_is_nothing() -> None:
    probability = line(0.9, 0.9, 0.9, 0, 0.9)
    roi = np.array([0, 1, 1, 1, 0], bool)[None, None]
    found = find_emboli(probability, UNIT, FusionSettings(min_volume_mm3=0), roi_mask=roi)
    assert found.labels[0, 0].tolist() == [0, 1, 1, 0, 0]
    assert rows(found) == [(1, 0.9, 2.0, True)]


@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3, 4), (1, 1, 1)])
def test_nothing_found(shape: tuple[int, int, int]) -> None:
    found = find_emboli(np.zeros(shape, np.float32), UNIT)
    assert found.labels.shape == shape
    assert found.labels.dtype == np.uint16
    assert (found.candidates, found.pe_score, found.volume_mm3) == ((), 0.0, 0)


def test_more_emboli_than_uint16_holds() -> None:
    probability = np.zeros((83, 83, 83), np.float32)
    probability[::2, ::2, ::2] = 0.9
    found = find_emboli(probability, UNIT, FusionSettings(min_volume_mm3=0))
    assert found.labels.dtype == np.uint32
    assert found.labels.max() == len(found.candidates) == 42**3
    joined = find_emboli(probability, UNIT, FusionSettings(min_volume_mm3=0, nms_mm=150))
    assert (joined.labels.dtype, joined.labels.max()) == (np.uint16, 1)


def test_a_voxel_of_a_large_finding_takes_few_bytes(peak_bytes: Callable[[Callable[[], object]], int]) -> None:
    probability = np.linspace(0.6, 0.9, 64**3, dtype=np.float32).reshape(64, 64, 64)
    assert peak_bytes(lambda: find_emboli(probability, UNIT)) < 8 * probability.size


def test_the_map_is_left_as_it_was() -> None:
    probability = line(0.9, 0.2, 0.7)
    before = probability.copy()
    probability.setflags(write=False)
    find_emboli(probability, UNIT)
    np.testing.assert_array_equal(probability, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.5])
def test_values_that_are_no_probabilities_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="PE-FUS-002"):
        find_emboli(line(0.2, bad, 0.9), UNIT)


def test_rounding_beyond_one_is_one() -> None:
    found = find_emboli(line(-1e-6, 1.0000004, 1.0000002), UNIT, FusionSettings(min_volume_mm3=0))
    assert (found.pe_score, found.candidates[0].mean_probability) == (1.0, 1.0)


def test_shapes_and_spacing_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GeometryError, match="PE-FUS-003"):
        find_emboli(np.zeros((3, 3), np.float32), UNIT)
    with pytest.raises(GeometryError, match="PE-FUS-003"):
        find_emboli(np.zeros((3, 3, 3), np.float32), (1, 0, 1))
    with pytest.raises(GeometryError, match="PE-FUS-003"):
        find_emboli(np.zeros((3, 3, 3), np.float32), UNIT, roi_mask=np.ones((3, 3, 2), bool))


@pytest.mark.parametrize(
    "numbers",
    [
        {"threshold": 0.5, "seed_threshold": 0.4},
        {"threshold": 0.02},
        {"candidate_threshold": 0.0},
        {"threshold": 1.2},
        {"threshold": float("nan")},
        {"min_volume_mm3": -1.0},
        {"min_volume_mm3": float("nan")},
    ],
)
def test_settings_that_contradict_each_other_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="PE-FUS-001"):
        FusionSettings(**numbers)


def slow_find(
    probability: NDArray[np.float32], spacing: tuple[float, float, float], wanted: FusionSettings
) -> tuple[NDArray[np.int64], list[Candidate]]:
    """The same definition, written down component by component with scipy."""

    def row(mask: NDArray[np.bool_], volume: float, kept: bool) -> Candidate:
        best = probability[mask].max()
        tied = np.argwhere(mask & (probability == best))
        distance = (((tied - tied.mean(axis=0)) * spacing) ** 2).sum(axis=1).round(6)
        peak = tuple(int(v) for v in tied[np.argmin(distance)])
        return Candidate(0, peak, float(best), float(probability[mask].mean(dtype=float)), volume, kept)  # type: ignore[arg-type]

    voxel = float(np.prod(spacing))
    candidates, count = ndimage.label(probability >= np.float32(wanted.candidate_threshold), FULL)
    kept, weak = [], []
    for k in range(1, count + 1):
        region = candidates == k
        strong, parts = ndimage.label(region & (probability >= np.float32(wanted.threshold)), FULL)
        found = []
        for j in range(1, parts + 1):
            mask = strong == j
            volume = mask.sum() * voxel
            if volume >= wanted.min_volume_mm3 - 1e-6 and probability[mask].max() >= np.float32(wanted.seed):
                found.append((row(mask, volume, True), mask))
        kept += found
        if not found:
            weak.append(row(region, region.sum() * voxel, False))

    def rank(c: Candidate) -> tuple[float, float, tuple[int, int, int]]:
        return (-c.probability, -c.volume_mm3, c.voxel_zyx)

    kept.sort(key=lambda pair: rank(pair[0]))
    labels = np.zeros(probability.shape, np.int64)
    for number, (_, mask) in enumerate(kept, 1):
        labels[mask] = number
    return labels, [c for c, _ in kept] + sorted(weak, key=rank)


@settings(max_examples=150, deadline=None)
@given(
    steps=hnp.arrays(
        np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.sampled_from([0, 0, 0, 0, 1, 2, 5, 6, 8, 9, 10])
    ),
    spacing=st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5])] * 3),
    seed=st.sampled_from([None, 0.6, 0.9]),
    min_volume=st.sampled_from([0.0, 1.0, 4.0]),
)
def test_agrees_with_the_slow_obvious_way(
    steps: NDArray[np.uint8], spacing: tuple[float, float, float], seed: float | None, min_volume: float
) -> None:
    probability = (steps / 10).astype(np.float32)
    wanted = FusionSettings(seed_threshold=seed, min_volume_mm3=min_volume)
    found = find_emboli(probability, spacing, wanted)
    labels, expected = slow_find(probability, spacing, wanted)
    np.testing.assert_array_equal(found.labels, labels)
    assert [c.id for c in found.candidates] == list(range(1, len(expected) + 1))
    for got, want in zip(found.candidates, expected, strict=True):
        assert (got.voxel_zyx, got.kept) == (want.voxel_zyx, want.kept)
        assert (got.probability, got.mean_probability, got.volume_mm3) == pytest.approx(
            (want.probability, want.mean_probability, want.volume_mm3), rel=1e-5
        )


@settings(max_examples=40, deadline=None)
@given(
    steps=hnp.arrays(np.uint8, (3, 6, 6), elements=st.sampled_from([0, 0, 0, 1, 5, 8])),
    axes=st.permutations([0, 1, 2]),
)
def test_turning_the_volume_turns_the_result(steps: NDArray[np.uint8], axes: list[int]) -> None:
    probability = (steps / 10).astype(np.float32)
    spacing = (2.0, 1.0, 0.5)
    here = find_emboli(probability, spacing, FusionSettings(min_volume_mm3=0))
    there = find_emboli(probability.transpose(axes), [spacing[a] for a in axes], FusionSettings(min_volume_mm3=0))
    np.testing.assert_array_equal(here.labels.transpose(axes) > 0, there.labels > 0)
    assert [c.volume_mm3 for c in here.candidates] == [c.volume_mm3 for c in there.candidates]
