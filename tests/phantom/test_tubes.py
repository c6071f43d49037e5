from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.phantom.grid import Grid
from pe_nnunet.phantom.tubes import Tubes, TubesBuilder, rasterise, smooth_path


def y_shaped() -> Tubes:
    """A stem of 10 mm along z that parts into branches of 10 mm along y and x; every piece is 5 mm long."""
    builder = TubesBuilder()
    stem = builder.add(np.array([[0.0, 0, 0], [5, 0, 0], [10, 0, 0]]), [3, 3, 3])
    builder.add(np.array([[10.0, 0, 0], [10, 5, 0], [10, 10, 0]]), [2, 2, 2], stem, 1)
    builder.add(np.array([[10.0, 0, 0], [10, 0, 5], [10, 0, 10]]), [2, 2, 2], stem, 1)
    return builder.build()


def test_ways_along_a_tree() -> None:
    to_start, to_end = y_shaped().distances_from(0, reach_mm=100)
    assert to_start == pytest.approx([2.5, 2.5, 7.5, 12.5, 7.5, 12.5])
    assert to_end == pytest.approx([2.5, 7.5, 12.5, 17.5, 12.5, 17.5])


def test_ways_beyond_the_reach_are_infinite() -> None:
    _, to_end = y_shaped().distances_from(5, reach_mm=8)
    assert np.isfinite(to_end).tolist() == [False, True, False, False, True, True]


@pytest.mark.parametrize(("radius_mm", "tolerance"), [(6.0, 0.02), (2.0, 0.02), (0.8, 0.05), (0.4, 0.05)])
def test_the_shares_of_a_tube_add_up_to_its_volume_even_if_it_is_thinner_than_a_voxel(
    radius_mm: float, tolerance: float
) -> None:
    grid = Grid.covering((-30, -12, -12), (30, 12, 12), (1, 1, 1))
    builder = TubesBuilder()
    direction = np.array([1.0, 0.1, 0.15])
    builder.add(
        np.array([-40 * direction, 40 * direction]), [radius_mm, radius_mm]
    )  # runs out of the grid on both sides
    share = rasterise(builder.build(), grid).share
    length = 60 * float(np.linalg.norm(direction))
    assert share.sum() == pytest.approx(np.pi * radius_mm**2 * length, rel=tolerance)


def test_distances_are_exact_near_a_tapering_tube_and_name_the_nearest_piece() -> None:
    grid = Grid.covering((-4, -14, -14), (14, 14, 14), (1, 1, 1))
    tubes = y_shaped()
    field = rasterise(tubes, grid)
    z, y, x = (
        int(np.argmin(np.abs(axis.ravel() - place))) for axis, place in zip(grid.axes(), (2.5, 4.5, 0.5), strict=True)
    )
    expected = np.hypot(4.5, 0.5) - 3
    assert field.distance[z, y, x] == pytest.approx(expected, abs=1e-4)
    assert field.piece[z, y, x] == 0


def test_a_smooth_path_passes_through_its_points_with_their_radii() -> None:
    points = np.array([[0.0, 0, 0], [10, 5, 0], [20, 0, 5]])
    path, radii = smooth_path(points, [3, 2, 1], step_mm=1.0)
    for point, radius in zip(points, (3, 2, 1), strict=True):
        nearest = int(np.argmin(np.linalg.norm(path - point, axis=1)))
        assert path[nearest] == pytest.approx(point)
        assert radii[nearest] == pytest.approx(radius)
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 2
