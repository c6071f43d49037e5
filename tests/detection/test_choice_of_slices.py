from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.detection.slice_labels import choose_slices


def volume(depth: int, **emboli: tuple[int, int]) -> np.ndarray:
    ids = np.zeros((depth, 4, 4), np.int32)
    for number, (first, last) in enumerate(emboli.values(), 1):
        ids[first:last, 0, number] = number
    return ids


def chosen(ids: np.ndarray, how: DetectorSettings, seed: int = 0) -> tuple[list[int], list[int]]:
    return choose_slices(ids, how, np.random.default_rng(seed))


def test_a_large_embolus_is_thinned_and_a_small_one_keeps_all_its_slices() -> None:
    positive, _ = chosen(volume(100, large=(0, 60), small=(70, 73)), DetectorSettings(slices_per_embolus=5))
    assert positive == [0, 15, 30, 44, 59, 70, 71, 72]


def test_slices_without_emboli_follow_in_proportion_and_hold_none() -> None:
    ids = volume(100, one=(10, 30))
    positive, negative = chosen(ids, DetectorSettings(slices_per_embolus=20, negative_share=0.5, min_negatives=2))
    assert (len(positive), len(negative)) == (20, 10)
    assert not ids[negative].any()
    assert negative[0] < 10 <= 30 <= negative[-1]
    assert max(np.diff(negative)) <= 36  # spread over the whole scan: even shares of 8, and the embolus between


@pytest.mark.parametrize(("depth", "expected"), [(50, 6), (3, 3)])
def test_a_scan_without_emboli_gives_slices_too(depth: int, expected: int) -> None:
    positive, negative = chosen(volume(depth), DetectorSettings(min_negatives=6))
    assert (positive, len(set(negative))) == ([], expected)


def test_the_choice_is_that_of_the_seed() -> None:
    ids, how = volume(80, one=(0, 9)), DetectorSettings()
    assert chosen(ids, how, 1) == chosen(ids, how, 1)
    assert chosen(ids, how, 1) != chosen(ids, how, 2)


def test_a_scan_full_of_emboli_has_no_slice_without() -> None:
    assert chosen(volume(4, one=(0, 4)), DetectorSettings()) == ([0, 1, 2, 3], [])
