from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.detection.raster import WINDOWS_HU, window_channels


def test_the_windows_are_those_of_the_original() -> None:
    assert WINDOWS_HU == ((700, 100), (350, 40), (1500, -600))


@pytest.mark.parametrize(("channel", "low", "high"), [(0, -250, 450), (1, -135, 215), (2, -1350, 150)])
def test_a_channel_rises_from_the_lower_to_the_upper_end_of_its_window(channel: int, low: int, high: int) -> None:
    grey = window_channels(np.array([low - 500, low, (low + high) / 2, high, high + 500]))[:, channel]
    assert grey.tolist() == [0, 0, 128, 255, 255]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-2000, 4000), min_size=2, max_size=20))
def test_channels_keep_the_order_of_densities(values: list[int]) -> None:
    hu = np.sort(np.array(values, np.int16))
    assert (np.diff(window_channels(hu).astype(int), axis=0) >= 0).all()


def test_the_pixel_type_of_the_scan_does_not_matter() -> None:
    hu = np.arange(-1024, 1024, 7, dtype=np.int16)
    assert np.array_equal(window_channels(hu), window_channels(hu.astype(np.float64)))
