from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pe_nnunet.voxels import Box

index = st.integers(0, 40)
boxes = st.tuples(*[st.tuples(index, st.integers(1, 20))] * 3).map(
    lambda axes: Box(tuple(a for a, _ in axes), tuple(a + n for a, n in axes))
)


@given(boxes, boxes)
def test_union_is_the_smallest_box_that_holds_both(a: Box, b: Box) -> None:
    mask = np.zeros((61, 61, 61), bool)
    mask[a.slices] = True
    mask[b.slices] = True
    assert a.union(b) == b.union(a) == Box.around(mask)
    assert a.union(a) == a


@given(boxes)
def test_list_form_survives_json(box: Box) -> None:
    assert Box.from_list(json.loads(json.dumps(box.to_list()))) == box
    assert box.to_list() == [list(box.start), list(box.stop)]


@given(boxes)
def test_shape_voxels_and_slices_agree(box: Box) -> None:
    array = np.zeros((61, 61, 61))[box.slices]
    assert array.shape == box.shape
    assert array.size == box.voxels


def test_margin_is_rounded_up_per_axis_and_cut_at_the_edge() -> None:
    box = Box((10, 10, 10), (20, 20, 20))
    assert box.grown(10, (2.5, 3.0, 10.0), (100, 100, 100)) == Box((6, 6, 9), (24, 24, 21))
    assert box.grown(1000, (1, 1, 1), (30, 25, 20)) == Box((0, 0, 0), (30, 25, 20))
    assert box.grown(0, (1, 1, 1), (30, 30, 30)) == box
    assert Box((5, 5, 5), (6, 6, 6)).grown(3 * 0.1, (0.1, 0.1, 0.1), (9, 9, 9)).shape == (7, 7, 7), "0.3 / 0.1 is 3"


def test_around_and_whole() -> None:
    assert Box.around(np.zeros((3, 3, 3))) is None
    assert Box.whole((3, 4, 5)).shape == (3, 4, 5)


@pytest.mark.parametrize(("start", "stop"), [((0, 0, 0), (0, 1, 1)), ((-1, 0, 0), (1, 1, 1)), ((0, 0), (1, 1))])
def test_no_empty_negative_or_flat_box(start: tuple[int, ...], stop: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="box"):
        Box(start, stop)  # type: ignore[arg-type]
