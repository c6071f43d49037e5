"""The simulation of calibrations on few scans, on counts whose best setting is known."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pe_nnunet.calibration.search import plain_settings
from tests.benchmarks.scripts import load_script

BEST = 5


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("calibration_scans.py")


@pytest.fixture
def counts() -> np.ndarray:
    """Of 20 scans with one embolus: one setting finds it and nothing else, the default finds it among three others."""
    counts = np.zeros((len(plain_settings(None)) + 1, 20, 4), np.int64)
    counts[..., 1] = 1
    counts[BEST] = [1, 1, 1, 1]
    counts[-1] = [1, 1, 1, 4]
    return counts


def test_the_best_setting_is_chosen_from_two_scans_on(script: ModuleType, counts: np.ndarray, tmp_path: Path) -> None:
    rows = script.simulate(counts, None, 10)
    assert [row["scans"] for row in rows] == [2, 4, 8, 16]
    # F1 of the default: sensitivity 1, precision 1/4
    for row in rows:
        assert (row["default"], row["calibrated"], row["better"]) == (pytest.approx(0.4), 1.0, 1.0)
    rows = script.simulate(counts, 2.0, 10)  # three false positives where two are allowed: two thirds of it count
    for row in rows:
        assert (row["default"], row["calibrated"]) == (pytest.approx(2 / 3), 1.0)
    assert "| 2 | 0.667 | 1.000 | 1.000 to 1.000 | 100% | 0% | +0.333 to +0.333 |" in script.table(rows)
    script.plot({"F1": rows, "sensitivity": rows}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_draw_without_an_embolus_keeps_the_defaults(script: ModuleType, counts: np.ndarray) -> None:
    counts[:, :, :3] = 0
    (row, *_) = script.simulate(counts, None, 10)
    assert (row["better"], row["worse"]) == (0.0, 0.0)
