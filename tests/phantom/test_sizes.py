from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.phantom.settings import MAX_MM3, MIN_MM3, embolus_volumes


def test_quantiles_are_those_of_patients() -> None:
    volumes = embolus_volumes(np.random.default_rng(0), 40_000)
    measured = np.quantile(volumes, [0.05, 0.5, 0.95])
    assert measured == pytest.approx([10, 1050, 26_000], rel=0.08)


def test_volumes_stay_within_what_was_seen() -> None:
    volumes = embolus_volumes(np.random.default_rng(1), 20_000)
    assert volumes.min() >= MIN_MM3 * 0.999
    assert volumes.max() <= MAX_MM3 * 1.001


def test_a_minimum_cuts_the_distribution_and_keeps_its_shape_above() -> None:
    everything = embolus_volumes(np.random.default_rng(2), 60_000)
    cut = embolus_volumes(np.random.default_rng(3), 30_000, min_mm3=300)
    assert cut.min() >= 300 * 0.999
    above = everything[everything >= 300]
    assert np.quantile(cut, [0.25, 0.5, 0.75]) == pytest.approx(np.quantile(above, [0.25, 0.5, 0.75]), rel=0.06)
