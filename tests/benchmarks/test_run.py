"""The runner of the benchmarks: discovery, processes of their own, results, table, limits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.benchmarks.scripts import FOLDER, load_script

GOOD = '''"""Ours against theirs.

More text.
"""


def bench(*, quick: bool) -> list[dict]:
    ours = 1.0 if quick else 3.0
    print("noise on the way")
    return [
        {"what": "time", "data": "ten things", "unit": "s", "ours": ours, "peer": "p", "theirs": 2.0, "limit": 2.5},
        {"what": "size", "data": "ten things", "unit": "MiB", "ours": 1234.5},
    ]
'''
BROKEN = '"""Fails."""\n\ndef bench(*, quick: bool) -> list[dict]:\n    raise ValueError("no such thing")\n'
ODD = '"""Returns a row of other fields."""\n\ndef bench(*, quick: bool) -> list[dict]:\n    return [{"who": "?"}]\n'
PAGE = "# Page\n\nText.\n\n<!-- bench: generated -->\nold\n<!-- bench: end -->\n\nTail.\n"


@pytest.fixture
def runner() -> ModuleType:
    return load_script("run.py")


@pytest.fixture
def run(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, Any], str]]:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "alone.py").write_text(
        '"""Takes hours."""\n\ndef main() -> None: ...\n\n\nif __name__ == "__main__":\n    main()\n'
    )
    (folder / "part.py").write_text('"""A part of another."""\n')
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.setattr(runner, "FOLDER", folder)
    (folder / "run.py").write_text((FOLDER / "run.py").read_text())

    def once(*arguments: str, **files: str) -> tuple[int, dict[str, Any], str]:
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        results = tmp_path / "results" / "bench.json"
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments, "--results", str(results), "--page", str(page)])
        code = runner.main()
        return code, json.loads(results.read_text()), page.read_text()

    return once


def test_results_and_the_page(run: Callable[..., tuple[int, dict[str, Any], str]]) -> None:
    code, results, page = run("--quick", good=GOOD)
    assert code == 0
    assert results.keys() == {"good"}  # `alone` has no bench
    assert results["good"]["rows"][0]["ours"] == 1.0
    assert results["good"]["machine"]["python"] == sys.version.split()[0]
    assert "| time | ten things | 1 s (limit 2.5) | p | 2 s | 0.50 |" in page
    assert "| size | ten things | 1,234 MiB |  |  |  |" in page
    assert "`benchmarks/alone.py`: Takes hours." in page
    assert "part.py" not in page
    assert "Ours against theirs.\n" in page
    assert page.startswith("# Page\n\nText.\n\n<!-- bench: generated -->\n")
    assert page.endswith("<!-- bench: end -->\n\nTail.\n")
    assert "old" not in page


def test_a_row_over_its_limit_a_failure_and_odd_rows(run: Callable[..., tuple[int, dict[str, Any], str]]) -> None:
    code, results, page = run(good=GOOD, broken=BROKEN, odd=ODD)
    assert code == 1
    assert results["good"]["rows"][0]["ours"] == 3.0
    assert results["good"]["error"] is None
    assert results["broken"]["error"] == "ValueError: no such thing"
    assert "unexpected keyword" in results["odd"]["error"]
    assert "| failed: ValueError: no such thing |" in page


def test_one_alone_keeps_the_others_results(
    run: Callable[..., tuple[int, dict[str, Any], str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run("--quick", good=GOOD, broken=BROKEN)
    code, results, page = run("--quick", "--only", "broken", broken=GOOD)
    assert code == 0
    assert [result["error"] for result in results.values()] == [None, None]
    assert page.count("| time |") == 2
    with pytest.raises(SystemExit):
        run("--only", "nothing")
    assert "no benchmark nothing" in capsys.readouterr().err


def test_every_benchmark_of_the_project_keeps_to_the_contract(runner: ModuleType) -> None:
    files = sorted(path for path in FOLDER.glob("*.py") if path.name != "run.py")
    with_bench = {path.stem for path in files if runner.has_bench(path)}
    assert {
        "import_cost",
        "lung_finder",
        "data_loading",
        "instance_norm",
        "evaluation",
        "surface_metrics",
    } <= with_bench
    for path in files:
        assert len(runner.title(path)) > 20, f"{path.name} does not say what it measures"
        if path.stem in with_bench:
            assert "*, quick: bool" in path.read_text(), f"{path.name}: expected bench(*, quick: bool)"
    page = (FOLDER.parent / "docs" / "benchmarks.md").read_text()
    assert page.count(runner.START) == page.count(runner.END) == 1
