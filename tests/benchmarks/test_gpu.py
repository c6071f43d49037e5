"""The script for a GPU, in its tiny form on a CPU: every part gives rows of both, and what is left out is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks.scripts import FOLDER, load_script

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """The program with these arguments; what it writes."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_compile"):
        monkeypatch.setenv(name, "")  # set back afterwards
    script, out, threads = load_script("gpu.py"), tmp_path / "results.json", torch.get_num_threads()

    def once(*arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(out), "--device", "cpu", "--tiny", *arguments])
        script.main()
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    yield once
    torch.set_num_threads(threads)


def test_every_part_gives_rows(run: Run) -> None:
    parts = ("stages", "training", "windows", "resampling")  # the others start commands or a compiler
    found = run("--only", *parts)
    assert found["notes"] == [note for note in found["notes"] if note.endswith("is not installed")]
    assert set(found["seconds"]) == {row["part"] for row in found["rows"]} == set(parts)
    rows = {row["what"]: row for row in found["rows"]}
    assert all(row["ours"] > 0 for what, row in rows.items() if "difference" not in what)
    for network in ("TARUNet", "PlainConvUNet"):
        whole = rows[f"{network}: stage all of it"]["ours"]
        groups = [rows[f"{network}: {group}"] for group in ("before the network", "after the network")]
        network_rows = rows[f"{network}: network and sums of windows"]
        assert sum(row["ours"] for row in (*groups, network_rows)) == pytest.approx(whole)
        assert all(row["theirs"] > 0 for row in (*groups, network_rows))
        assert rows[f"{network}: a window, channels last, 16 at once"]["theirs"] > 0
    assert rows["its largest difference from nnU-Net's"]["ours"] < 1e-3
    peers = {row["peer"] for row in found["rows"] if row["what"] == "training, later step"}
    assert peers == {"nnUNetTrainer, the same network", "nnUNetTrainer, its own network"}


def test_parts_for_which_no_time_is_left_are_named(run: Run) -> None:
    found = run("--minutes", "0", "--only", "windows", "compiled")
    assert found["rows"] == []
    assert {f"{part}: no time was left at its end" for part in ("windows", "compiled")} <= set(found["notes"])
