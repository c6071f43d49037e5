from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from pe_nnunet.outputs.picture_scene import view_around, widest_slice
from pe_nnunet.voxels import Box, boxes_by_id


@settings(max_examples=80, deadline=None)
@given(labels=hnp.arrays(np.uint16, st.tuples(*[st.integers(1, 5)] * 3), elements=st.sampled_from([0, 0, 1, 4, 7])))
def test_boxes_are_scipys(labels: NDArray[np.uint16]) -> None:
    expected = {k: box for k, box in enumerate(ndimage.find_objects(labels.astype(int)), 1) if box is not None}
    assert {k: box.slices for k, box in boxes_by_id(labels).items()} == expected


def test_huge_ids() -> None:
    labels = np.zeros((2, 2, 2), np.int64)
    labels[1, 1, 1] = 2**40
    assert boxes_by_id(labels) == {2**40: Box((1, 1, 1), (2, 2, 2))}


def test_widest_slice_is_the_middle_of_the_widest() -> None:
    labels = np.zeros((7, 4, 4), np.uint16)
    labels[1, 0, 0] = labels[5, 0, 0] = 3
    labels[2:5, 1:3, 1:3] = 3
    labels[5] = np.where(labels[5] == 0, 9, labels[5])  # another finding does not count
    assert widest_slice(labels, 3, boxes_by_id(labels)[3]) == 3


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    data=st.data(),
    spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3),
    side_mm=st.sampled_from([5.0, 60.0, np.inf]),
)
def test_a_view_holds_its_centre_and_stays_inside(
    shape: tuple[int, int, int], data: st.DataObject, spacing: tuple[float, float, float], side_mm: float
) -> None:
    centre = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    z, rows, columns = view_around(centre, shape, spacing, side_mm)  # type: ignore[arg-type]
    assert z == centre[0]
    for axis, span in ((1, rows), (2, columns)):
        assert 0 <= span.start <= centre[axis] < span.stop <= shape[axis]
        assert (
            span.stop - span.start == shape[axis] or (span.stop - span.start) * spacing[axis] <= side_mm + spacing[axis]
        )
