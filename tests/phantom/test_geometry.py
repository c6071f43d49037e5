"""Grids and shapes against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.phantom.grid import Grid, block_mean, ellipsoid, occupancy, rotated

spacings = st.tuples(*[st.floats(0.5, 4)] * 3)


@given(spacings, st.tuples(*[st.integers(1, 3)] * 3))
@settings(max_examples=25, deadline=None)
def test_finer_voxels_lie_in_the_voxel_that_they_divide(
    spacing_mm: tuple[float, float, float], factors: tuple[int, int, int]
) -> None:
    grid = Grid.covering((-20, -10, -15), (20, 10, 15), spacing_mm)
    for axis, fine in zip(grid.axes(), grid.finer(factors).axes(), strict=True):
        means = fine.ravel().reshape(axis.size, -1).mean(axis=1)
        assert means == pytest.approx(axis.ravel(), abs=1e-4)


@given(spacings)
@settings(max_examples=25, deadline=None)
def test_an_image_has_the_voxels_where_the_grid_has_them(spacing_mm: tuple[float, float, float]) -> None:
    grid = Grid.covering((-20, -10, -15), (20, 10, 15), spacing_mm)
    image = grid.image(np.zeros(grid.shape, np.uint8))
    z, y, x = (int(n) - 1 for n in grid.shape)
    last = tuple(float(axis.ravel()[-1]) for axis in grid.axes())
    assert image.TransformIndexToPhysicalPoint((x, y, z))[::-1] == pytest.approx(last, abs=1e-3)


def test_block_mean_keeps_the_total() -> None:
    values = np.random.default_rng(0).normal(size=(6, 8, 10)).astype(np.float32)
    assert block_mean(values, (3, 2, 5)).mean() == pytest.approx(values.mean(), abs=1e-6)


def test_box_around_holds_the_voxels_between_its_corners() -> None:
    grid = Grid.covering((0, 0, 0), (10, 10, 10), (1, 1, 1))
    assert grid.box_around(np.array([2.0, 2.0, 2.0]), np.array([4.0, 3.4, 30.0])) == (
        slice(2, 4), slice(2, 3), slice(2, 10),
    )  # fmt: skip
    assert grid.box_around(np.array([20.0, 0, 0]), np.array([30.0, 5, 5])) is None


@pytest.mark.parametrize("axes", [(8.0, 8.0, 8.0), (6.0, 9.0, 12.0)])
def test_the_shares_of_an_ellipsoid_add_up_to_its_volume(axes: tuple[float, float, float]) -> None:
    grid = Grid.covering((-16, -16, -16), (16, 16, 16), (1, 1, 1))
    share = occupancy(ellipsoid(grid.axes(), (0.3, -0.2, 0.4), axes), grid.edge_mm)
    assert share.sum() == pytest.approx(4 / 3 * np.pi * np.prod(axes), rel=0.01)


def test_the_distance_to_a_sphere_is_exact() -> None:
    points = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32) * 10
    z, y, x = points
    expected = np.sqrt((points**2).sum(axis=0)) - 7
    assert ellipsoid((z, y, x), (0, 0, 0), (7, 7, 7)) == pytest.approx(expected, abs=1e-3)


@given(st.floats(-180, 180), st.floats(-90, 90))
@settings(max_examples=25, deadline=None)
def test_turning_keeps_distances(yaw_deg: float, pitch_deg: float) -> None:
    points = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    z, y, x = points
    turned = np.stack(rotated((z, y, x), (0, 0, 0), yaw_deg, pitch_deg))
    assert np.linalg.norm(turned, axis=0) == pytest.approx(np.linalg.norm(points, axis=0), abs=1e-4)
