"""The fit of growths, on points of known exponents, and the emboli that are put into a map."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cc3d
import pytest

from tests.benchmarks.scripts import FOLDER, load_script


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_script("growth.py")


def test_exponents_are_those_of_the_largest_sizes(script: ModuleType, tmp_path: Path) -> None:
    points = [script.Point(n, max(3.0, n**2), n) for n in (1, 10, 100, 1000)]
    assert script.exponent(points, "seconds") == pytest.approx(2)
    assert script.exponent(points, "gigabytes") == pytest.approx(1)
    assert script.table({"scans": points}).splitlines()[2:] == [
        "| scans: 1, 10, 100, 1,000 | 3, 100, 1e+04, 1e+06 | 2.00 | 1, 10, 100, 1e+03 | 1.00 |"
    ]
    script.plot({"scans": points, "models": points}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 200])
def test_balls_lie_apart(script: ModuleType, count: int) -> None:
    probability = script.balls((40, 60, 60), count)
    assert cc3d.connected_components(probability > 0, return_N=True)[1] == count
