"""Scripts for shells: each parses, holds every command and option, and completes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pe_nnunet.cli import COMMANDS, command_parser
from pe_nnunet.cli.completion import SHELLS, script


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def path(shell: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / f"pe-nnunet.{shell}"
    path.write_text(script(shell), encoding="utf-8")
    return path


def test_it_holds_every_command_and_option(path: Path, shell: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert "pe-nnunet-predict-fused" in text
    for command in COMMANDS:
        assert command in text
        for option in command_parser(command)._option_string_actions:
            assert option.lstrip("-") in text if shell == "fish" else option in text, (command, option)


def run(shell: str, *arguments: str | Path) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_shell_can_read_it(path: Path, shell: str) -> None:
    run(shell, "-n", path)


def test_bash_completes_an_option(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(script("bash"), encoding="utf-8")
    typed = "COMP_WORDS=(pe-nnunet convert --lab); COMP_CWORD=2; _shtab_pe_nnunet pe-nnunet --lab convert"
    assert run("bash", "-c", f'source {path}; {typed}; echo "${{COMPREPLY[@]}}"').split() == [
        "--labels",
        "--label-kind",
        "--label-map",
    ]
