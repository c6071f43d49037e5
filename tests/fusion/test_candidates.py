"""Non-maximum suppression of markers."""

from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.fusion.candidates import suppressed_by


def line(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[None, None]


def found(probability, nms_mm, spacing=(1.0, 1.0, 5.0), **settings):
    return find_emboli(probability, spacing, FusionSettings(min_volume_mm3=0, nms_mm=nms_mm, **settings))


def rows(emboli):
    return [(c.id, c.voxel_zyx[2], round(c.probability, 2), c.volume_mm3, c.kept) for c in emboli.candidates]


def test_the_weaker_of_two_markers_goes_and_its_voxels_do_not():
    probability = line(0.6, 0, 0.9, 0.8, 0, 0, 0, 0.7)  # markers at 0, 10 and 35 mm
    assert rows(found(probability, 0)) == [
        (1, 2, 0.9, 10, True),
        (2, 7, 0.7, 5, True),
        (3, 0, 0.6, 5, True),
    ]
    near = found(probability, 10)
    assert rows(near) == [(1, 2, 0.9, 15, True), (2, 7, 0.7, 5, True)]
    assert near.labels[0, 0].tolist() == [1, 0, 1, 1, 0, 0, 0, 2]
    assert near.candidates[0].mean_probability == pytest.approx((0.6 + 0.9 + 0.8) / 3)
    assert near.volume_mm3 == found(probability, 0).volume_mm3


def test_distance_counts_in_mm_and_includes_its_end():
    probability = line(0.6, 0, 0.9)
    assert len(found(probability, 9.99).candidates) == 2
    assert len(found(probability, 10).candidates) == 1
    assert len(found(probability, 10, spacing=(1, 1, 5.1)).candidates) == 2


def test_what_is_suppressed_suppresses_nothing():
    probability = line(0.9, 0, 0.8, 0, 0.7)
    assert [c.voxel_zyx[2] for c in found(probability, 10).candidates] == [0, 4]


def test_a_weak_finding_goes_beside_an_embolus_and_never_takes_its_place():
    probability = line(0.2, 0, 0.6, 0.6, 0, 0.95)
    emboli = find_emboli(probability, (1, 1, 5), FusionSettings(min_volume_mm3=10, nms_mm=20))
    assert rows(emboli) == [(1, 2, 0.6, 10, True)]  # the strongest voxel stands alone, too small to be kept
    assert emboli.labels[0, 0].tolist() == [0, 0, 1, 1, 0, 0]


def test_nothing_found_stays_nothing():
    assert found(line(0, 0, 0), 10).candidates == ()
    assert suppressed_by(np.zeros((0, 3)), 10).tolist() == []


@pytest.mark.parametrize("distance", [-1.0, float("nan"), float("inf")])
def test_impossible_distances_are_refused(distance):
    with pytest.raises(ConfigurationError, match="PE-FUS-001"):
        FusionSettings(nms_mm=distance)
