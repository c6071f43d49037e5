from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.detection.box_tubes import SliceBox, Tube, link, tube_confidence, tube_of, usable
from pe_nnunet.voxels import Box


def box(z: int, y: float = 10, x: float = 10, size: float = 10, confidence: float = 0.5) -> SliceBox:
    return SliceBox(z, y, x, y + size, x + size, confidence)


def test_boxes_that_overlap_from_slice_to_slice_are_one_tube() -> None:
    (tube,) = link([box(z, x=10 + 3 * z) for z in (3, 1, 2)], 1.0)
    assert [b.z for b in tube] == [1, 2, 3]


def test_two_things_side_by_side_stay_two() -> None:
    tubes = link([box(z, x=x) for z in range(4) for x in (0, 40)], 1.0)
    assert sorted((len(tube), tube[0].x0) for tube in tubes) == [(4, 0), (4, 40)]


def test_of_two_candidates_the_nearer_one_goes_on() -> None:
    tubes = link([box(0), box(1, x=11), box(1, x=17)], 1.0)
    assert sorted((len(tube), tube[-1].x0) for tube in tubes) == [(1, 17), (2, 11)]


def test_a_missing_slice_is_bridged_and_filled() -> None:
    (tube,) = link([box(0, x=10, confidence=0.9), box(2, x=14, confidence=0.4)], 2.0)
    assert tube[1] == SliceBox(1, 10, 12, 20, 22, 0.4)


@pytest.mark.parametrize(("spacing_mm", "tubes"), [(1.0, 1), (2.0, 2), (5.0, 2)])
def test_a_gap_is_measured_in_mm(spacing_mm: float, tubes: int) -> None:
    assert len(link([box(0), box(4)], spacing_mm)) == tubes


def test_neighbouring_slices_are_linked_however_thick() -> None:
    assert len(link([box(0), box(1)], 10.0)) == 1


def test_what_is_no_box_is_dropped() -> None:
    good = box(0)
    edges = [replace(good, x0=math.nan), replace(good, y1=math.inf), replace(good, x0=30.0), replace(good, y0=20.0)]
    scores = [replace(good, confidence=math.nan), replace(good, confidence=1.5), replace(good, confidence=-0.1)]
    assert usable([good, *edges, *scores]) == [good]


def test_a_tube_is_as_sure_as_its_surest_box_and_holds_whole_voxels() -> None:
    tube = tube_of([SliceBox(2, 1.2, 3.7, 4.1, 6.0, 0.3), SliceBox(3, 1.9, 3.0, 4.0, 5.5, 0.8)], (10, 10, 10))
    assert tube is not None
    assert tube.box == Box((2, 1, 3), (4, 5, 6))
    assert tube.confidence == 0.8


def test_a_tube_is_cut_at_the_edge_of_the_image() -> None:
    tube = tube_of([SliceBox(0, -3, -2, 4, 5, 0.3)], (1, 10, 4))
    assert tube is not None
    assert tube.box == Box((0, 0, 0), (1, 4, 4))
    assert tube_of([SliceBox(0, -3, -2, -1, 5, 0.3)], (1, 10, 4)) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 30), st.floats(0, 30), st.floats(0.05, 1)), max_size=25))
def test_every_box_lies_in_one_tube_and_tubes_have_no_gaps(rows: list[tuple[int, float, float, float]]) -> None:
    boxes = [box(z, y, x, 5.0, confidence) for z, y, x, confidence in rows]
    tubes = link(boxes, 2.0)
    for tube in tubes:
        assert [b.z for b in tube] == list(range(tube[0].z, tube[-1].z + 1))
    found = [b for tube in tubes for b in tube]
    assert all(found.count(b) >= boxes.count(b) for b in boxes)


def test_painted_tubes_cover_the_voxels_whose_centres_they_hold_and_the_surer_wins() -> None:
    sure = Tube(Box((0, 0, 0), (1, 2, 2)), 0.9, (SliceBox(0, 0.4, 0.4, 1.6, 1.6, 0.9),))
    weak = Tube(Box((0, 0, 0), (2, 1, 4)), 0.2, (SliceBox(0, 0, 0, 1, 4, 0.2), SliceBox(1, 0, 0, 1, 4, 0.2)))
    painted = tube_confidence([sure, weak], (2, 2, 4))
    expected = [[[0.9, 0.9, 0.2, 0.2], [0.9, 0.9, 0, 0]], [[0.2] * 4, [0] * 4]]
    assert painted == pytest.approx(np.array(expected))


def test_tubes_outside_the_volume_paint_nothing() -> None:
    tube = Tube(Box((5, 0, 0), (6, 1, 1)), 0.9, (SliceBox(5, 0, 0, 1, 1, 0.9), SliceBox(0, 8, 8, 9, 9, 0.9)))
    assert not tube_confidence([tube], (2, 4, 4)).any()
