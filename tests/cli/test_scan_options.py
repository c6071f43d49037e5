"""Every command that reads scans hands on which series is meant, and what may be repaired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pe_nnunet import volumes
from pe_nnunet.cli import main
from pe_nnunet.errors import InputError
from pe_nnunet.slices import scan_sources

COMMANDS = {
    "detect": ["detect", "-i", "SCANS", "-o", "OUT", "--detector", "none"],
    "predict-fused": ["predict-fused", "-i", "SCANS", "-o", "OUT", "-d", "501"],
    "slices": ["slices", "nifti", "SCANS", "OUT"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_choice_of_a_series_reaches_the_reader(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    def find(path: Path, **choice: Any) -> None:
        given.append(choice)
        raise InputError("PE-IN-001", "nothing more is to be seen")

    for module in (volumes, scan_sources):
        monkeypatch.setattr(module, "find_scans", find)
    monkeypatch.chdir(tmp_path)
    options = ["--series-uid", "1.2", "--pick", "largest-ct", "--join-series", "--only", "KVP=100", "ImageType=A"]
    assert main([*COMMANDS[command], *options]) == 2
    (choice,) = given
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in choice.items()} == {
        "series_uid": "1.2",
        "pick": "largest-ct",
        "join_series": True,
        "only": ("KVP=100", "ImageType=A"),
    }
