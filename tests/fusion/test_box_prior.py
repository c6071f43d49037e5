"""What boxes do to a probability map: tiny cases with known answers."""

import math

import numpy as np
import pytest

from pe_nnunet.detection import SliceBox, Tube
from pe_nnunet.errors import ConfigurationError, GeometryError
from pe_nnunet.fusion import FusionSettings, find_emboli, fuse
from pe_nnunet.voxels import Box

MM = (1.0, 1.0, 1.0)


def tube(confidence, z, y0, x0, y1, x1):
    boxes = tuple(SliceBox(k, y0, x0, y1, x1, confidence) for k in range(z, z + 2))
    return Tube(Box((z, int(y0), int(x0)), (z + 2, int(y1), int(x1))), confidence, boxes)


@pytest.fixture
def probability():
    """A sure embolus, a weak one, a weak false finding, and one outside the region."""
    held = np.zeros((6, 12, 12), np.float32)
    held[1:3, 1:3, 1:3] = 0.9
    held[1:3, 1:3, 8:10] = 0.3
    held[1:3, 8:10, 1:3] = 0.6
    held[4:6, 8:10, 8:10] = 0.8
    return held


WEIGHTS = {"box_weight": 1.0, "no_box_penalty": 1.0, "min_volume_mm3": 1.0}


def found(fused, settings):
    return [row.voxel_zyx for row in find_emboli(fused, MM, settings).kept]


def test_a_weak_embolus_is_rescued_by_a_box_and_an_unsupported_one_lowered(probability):
    settings = FusionSettings(**WEIGHTS)
    boxes = [tube(0.9, 1, 0.0, 0.0, 4.0, 4.0), tube(0.8, 1, 0.0, 7.0, 4.0, 11.0)]
    roi = np.ones(probability.shape, bool)
    roi[4:] = False
    fused = fuse(probability, boxes, settings, roi_mask=roi)
    assert fused[1, 1, 8] == pytest.approx(0.3 * 0.8 / (0.3 * 0.8 + 0.7 * 0.2), abs=1e-6)  # the odds multiply
    assert fused[1, 1, 1] == pytest.approx(81 / 82, abs=1e-6)
    assert fused[1, 8, 1] == pytest.approx(1 / (1 + (0.4 / 0.6) * math.e), abs=1e-6)
    assert not fused[4:].any()
    assert [place[1:] for place in found(fused, settings)] == [(1, 1), (1, 8)]
    assert len(found(probability, settings)) == 3


def test_half_the_weight_raises_half_the_log_odds(probability):
    fused = fuse(probability, [tube(0.8, 1, 0.0, 7.0, 4.0, 11.0)], FusionSettings(box_weight=0.5))
    odds = 3 / 7 * 4**0.5
    assert fused[1, 1, 8] == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert fused[1, 8, 1] == np.float32(0.6)  # no penalty asked for


def test_a_box_of_the_least_confidence_protects_and_a_weaker_one_is_not_there(probability):
    boxes = [tube(0.2, 1, 7.0, 0.0, 11.0, 4.0), tube(0.1, 1, 0.0, 7.0, 4.0, 11.0)]
    fused = fuse(probability, boxes, FusionSettings(**WEIGHTS, box_confidence=0.2))
    assert fused[1, 8, 1] == pytest.approx(0.6)
    assert fused[1, 1, 8] < 0.3
    settings = FusionSettings(**WEIGHTS)
    np.testing.assert_array_equal(fuse(probability, boxes, settings), fuse(probability, [], settings))


def test_boxes_raise_by_what_they_are_surer_than_the_least(probability):
    fused = fuse(probability, [tube(0.5, 1, 0.0, 7.0, 4.0, 11.0)], FusionSettings(box_weight=1, box_confidence=0.2))
    odds = 3 / 7 * 4  # 0.5 has four times the odds of 0.2
    assert fused[1, 1, 8] == pytest.approx(odds / (1 + odds), abs=1e-6)


@pytest.mark.parametrize("tubes", [None, []])
@pytest.mark.parametrize("weights", [(0.0, 0.0), (2.0, 0.0)])
def test_without_a_detector_or_without_boxes_to_raise_nothing_changes(probability, tubes, weights):
    settings = FusionSettings(box_weight=weights[0], no_box_penalty=weights[1])
    np.testing.assert_array_equal(fuse(probability, tubes, settings), probability)


def test_no_detector_is_not_a_detector_that_found_nothing(probability):
    settings = FusionSettings(no_box_penalty=2.0)
    np.testing.assert_array_equal(fuse(probability, None, settings), probability)
    assert (fuse(probability, [], settings)[probability > 0] < probability[probability > 0]).all()


@pytest.mark.parametrize(
    "bad",
    [
        tube(math.nan, 1, 0.0, 7.0, 4.0, 11.0),
        tube(1.7, 1, 0.0, 7.0, 4.0, 11.0),
        Tube(Box((1, 0, 7), (2, 4, 11)), 0.9, (SliceBox(1, math.nan, 7.0, 4.0, 11.0, 0.9),)),
        Tube(Box((1, 0, 7), (2, 4, 11)), 0.9, (SliceBox(1, 4.0, 11.0, 0.0, 7.0, 0.9),)),
        Tube(Box((1, 0, 7), (2, 4, 11)), 0.9, (SliceBox(1, 0.0, 7.0, math.inf, 11.0, 0.9),)),
        tube(0.0, 1, 0.0, 7.0, 4.0, 11.0),
    ],
)
def test_nan_and_inverted_boxes_count_as_none(probability, bad):
    settings = FusionSettings(**WEIGHTS)
    np.testing.assert_array_equal(fuse(probability, [bad], settings), fuse(probability, [], settings))


def test_boxes_reach_over_the_edge_and_zeros_stay_zeros(probability):
    fused = fuse(probability, [tube(0.999, 5, 0.0, 0.0, 99.0, 99.0)], FusionSettings(box_weight=5.0))
    assert fused[5, 8, 8] > 0.999
    assert fused.max() <= 1
    assert not fused[probability == 0].any()


@pytest.mark.parametrize("weights", [{"box_weight": -1.0}, {"no_box_penalty": math.nan}, {"box_confidence": 1.0}])
def test_impossible_weights(weights):
    with pytest.raises(ConfigurationError, match="PE-FUS-001"):
        FusionSettings(**weights)


def test_a_region_of_another_shape(probability):
    with pytest.raises(GeometryError, match="PE-FUS-003"):
        fuse(probability, None, FusionSettings(), roi_mask=np.ones((2, 2, 2), bool))


def test_a_part_of_a_map_is_fused_as_in_the_whole(probability):
    settings = FusionSettings(**WEIGHTS)
    boxes = [tube(0.9, 1, 0.0, 0.0, 4.0, 4.0), tube(0.8, 1, 0.0, 7.0, 4.0, 11.0)]
    part = fuse(probability[1:, :, 1:], boxes, settings, start=(1, 0, 1))
    np.testing.assert_array_equal(part, fuse(probability, boxes, settings)[1:, :, 1:])
