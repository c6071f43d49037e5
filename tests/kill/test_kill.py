"""Commands that are killed at seeded moments and run again leave what an unbroken run leaves; more by `make kill`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kill.commands import COMMANDS, write_inputs
from tests.kill.trials import killed, moments, unbroken

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGKILL, no process groups")
BY_NAME = {command.name: command for command in COMMANDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the commands."""
    made = tmp_path_factory.mktemp("kill")
    write_inputs(made / "inputs", scans=2)
    return made


@pytest.mark.parametrize("name", ["convert", "evaluate", "slices dicom"])
def test_a_killed_command_is_run_again_to_the_same_bytes(folder: Path, name: str) -> None:
    command = BY_NAME[name]
    whole = unbroken(command, folder, times=1)
    (moment,) = moments(1, whole.ended, f"0 {name}")
    assert moment.step > 0
    assert killed(command, folder, moment, whole.contents)
