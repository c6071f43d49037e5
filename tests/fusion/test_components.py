from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from pe_nnunet.fusion.components import measure_components
from pe_nnunet.voxels import Box, label_components

FULL = np.ones((3, 3, 3))


@settings(max_examples=300, deadline=None)
@given(volume=hnp.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3)), data=st.data())
def test_components_are_scipys_also_in_parts_of_an_array(volume: NDArray[np.bool_], data: st.DataObject) -> None:
    starts = [data.draw(st.integers(0, n - 1)) for n in volume.shape]
    part = volume[tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, volume.shape, strict=True))]
    labels, count = label_components(part)
    expected, expected_count = ndimage.label(part, FULL)
    assert count == expected_count
    np.testing.assert_array_equal(labels > 0, part)
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), expected.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})  # the same parting, other numbers


@pytest.mark.parametrize("shape", [(1, 1, 5), (5, 1, 1), (1, 5, 1), (0, 2, 2)])
def test_lines_and_nothing(shape: tuple[int, int, int]) -> None:
    mask = np.zeros(shape, bool)
    mask.ravel()[::2] = True
    assert label_components(mask)[1] == (mask.size + 1) // 2


@given(volume=hnp.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3)))
def test_bounding_box_is_tight(volume: NDArray[np.bool_]) -> None:
    box = Box.around(volume)
    if box is None:
        assert not volume.any()
        return
    assert volume[box.slices].sum() == volume.sum()
    for axis in range(3):
        ends = volume[box.slices].take([0, -1], axis=axis)
        assert ends.take(0, axis=axis).any()
        assert ends.take(1, axis=axis).any()


def test_measures_of_known_answer() -> None:
    labels = np.array([[[1, 1, 0, 2]], [[1, 0, 0, 2]]])
    probability = np.array([[[0.5, 0.75, 1.0, 0.25]], [[0.25, 0, 0, 0.5]]], np.float32)
    found = measure_components(labels, 2, probability, (1, 1, 1))
    assert found.voxels.tolist() == [3, 2]
    assert found.highest.tolist() == [0.75, 0.5]
    assert found.mean.tolist() == [0.5, 0.375]
    assert found.peak_zyx.tolist() == [[0, 0, 1], [1, 0, 3]]
