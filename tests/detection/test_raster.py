from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.detection.raster import STRIDE, Layout, Raster

sizes = st.tuples(st.integers(8, 90), st.integers(8, 90))
spacings = st.tuples(st.floats(0.4, 3), st.floats(0.4, 3))


@settings(max_examples=40, deadline=None)
@given(sizes, spacings, st.floats(0.5, 3), st.lists(st.floats(-5, 100), min_size=4, max_size=4))
def test_boxes_come_back_from_pixels(
    shape: tuple[int, int], spacing: tuple[float, float], pixel_mm: float, edges: list[float]
) -> None:
    layout = Layout(Raster(pixel_mm, 2 * STRIDE), shape, spacing)
    boxes = np.array([edges])
    assert layout.to_voxels(layout.to_pixels(boxes)) == pytest.approx(boxes, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(sizes, spacings, st.floats(0.5, 3))
def test_the_scale_is_the_pixel_size_whatever_the_slice(
    shape: tuple[int, int], spacing: tuple[float, float], pixel_mm: float
) -> None:
    layout = Layout(Raster(pixel_mm, 2 * STRIDE), shape, spacing)
    for pixels, voxels, mm in zip(layout.scaled_shape, shape, spacing, strict=True):
        assert abs(pixels * pixel_mm - voxels * mm) <= pixel_mm  # rounded to a whole pixel
    assert all(n % STRIDE == 0 and n >= m for n, m in zip(layout.picture_shape, layout.scaled_shape, strict=True))


def test_a_slice_larger_than_the_picture_makes_a_larger_picture() -> None:
    layout = Layout(Raster(1.0, 64), (100, 40), (1.0, 1.0))
    assert layout.picture_shape == (128, 64)


def test_a_bright_square_lies_in_the_picture_where_its_box_says() -> None:
    hu = np.full((1, 40, 60), -1000, np.int16)
    hu[0, 10:20, 30:45] = 1000
    layout = Layout(Raster(0.5, 64), (40, 60), (0.8, 1.0))
    picture = layout.pictures(hu)[0, ..., 0] > 127
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    found = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    assert found == pytest.approx(layout.to_pixels(np.array([[10.0, 30.0, 20.0, 45.0]]))[0], abs=1)


def test_small_voxels_are_averaged_and_not_skipped() -> None:
    stripes = np.zeros((1, 64, 64), np.int16)
    stripes[:, :, ::2] = 200  # 1 voxel wide, four to a pixel
    picture = Layout(Raster(4.0, 64), (64, 64), (1.0, 1.0)).pictures(stripes)[0, 28:36, 28:36, 0]
    middle = round((100 + 250) / 700 * 255)
    assert picture.astype(int) == pytest.approx(middle, abs=2)


def test_around_the_slice_there_is_air() -> None:
    picture = Layout(Raster(1.0, 64), (10, 10), (1.0, 1.0)).pictures(np.zeros((1, 10, 10), np.int16))[0]
    assert picture[0, 0].tolist() == [0, 0, round(350 / 1500 * 255)]
