"""The command line as a whole: exit codes, help, and that it starts without loading what it may not need."""

from __future__ import annotations

import argparse
import importlib
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pe_nnunet import __version__, cli
from pe_nnunet.cli import COMMANDS, GROUPS, RENAMED, command_parser, main
from pe_nnunet.cli.commands_page import page
from pe_nnunet.cli.description import examples
from pe_nnunet.errors import InputError

HEAVY = ("torch", "nnunetv2", "SimpleITK", "scipy", "matplotlib", "pydicom", "ultralytics", "numpy")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_module_of_the_agreed_form(command: str) -> None:
    module = importlib.import_module(f"pe_nnunet.cli.{command.replace('-', '_')}")
    assert module.__doc__, "the module's docstring is the command's description"
    assert list(inspect.signature(module.configure).parameters) == ["parser"]
    assert list(inspect.signature(module.run).parameters) == ["args"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_describes_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: pe-nnunet {command} ")
    assert "--debug" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_wrong_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--no-such-option"])
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith(f"usage: pe-nnunet {command} ")


def test_the_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for command, summary in COMMANDS.items():
        assert f"  {command} " in text
        assert summary in " ".join(text.split())
    for title in GROUPS:
        assert f"\n{title}:\n" in text


@pytest.mark.parametrize("arguments", [[], ["segment-everything"], ["--no-such-option"]])
def test_wrong_usage_is_exit_code_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("usage: pe-nnunet ")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"pe-nnunet {__version__}\n"


def test_predict_fused_is_a_script_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["pe-nnunet-predict-fused", "--help"])
    with pytest.raises(SystemExit) as stop:
        cli.main_predict_fused()
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("usage: pe-nnunet-predict-fused ")


def stand_in(monkeypatch: pytest.MonkeyPatch, run: Callable[[argparse.Namespace], int]) -> None:
    """Make `pe-nnunet doctor` do something else."""
    module = SimpleNamespace(__doc__="", configure=lambda parser: None, run=run)
    monkeypatch.setattr(cli, "import_module", lambda name: module)


@pytest.mark.parametrize("code", [0, 2, 3])
def test_the_exit_code_is_the_commands(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    stand_in(monkeypatch, lambda args: code)
    assert main(["doctor"]) == code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("PE-IN-001", "scans/ is\nempty", "name another"), 2, "PE-IN-001: scans/ is empty; name another\n"),
        (ValueError("shapes\ndiffer"), 2, "PE-ENV-006: ValueError: shapes differ; see it whole with --debug\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    def run(args: argparse.Namespace) -> int:
        raise error

    stand_in(monkeypatch, run)
    assert main(["doctor"]) == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [InputError("PE-IN-001", "empty"), ValueError("shapes differ")])
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def run(args: argparse.Namespace) -> int:
        raise error

    stand_in(monkeypatch, run)
    assert main(["doctor", "--debug"]) == 2
    assert capsys.readouterr().err.startswith("Traceback (most recent call last)")


def test_run_names_the_commands_that_nnunet_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nnUNetv2_trian"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("PE-ENV-005: no nnU-Net command 'nnUNetv2_trian'; did you mean nnUNetv2_train? installed: ")
    assert "nnUNetv2_train" in line


def test_starting_loads_nothing_heavy(fresh_python: Callable[..., Any]) -> None:
    code = f"""
import importlib, sys
from pe_nnunet import cli
for command in cli.COMMANDS:
    importlib.import_module(f"pe_nnunet.cli.{{command.replace('-', '_')}}")
answer = [name for name in {HEAVY!r} if name in sys.modules]
for command in cli.COMMANDS:
    cli.command_parser(command)  # wrong arguments are refused from here on
answer += [name for name in {HEAVY!r} if name in sys.modules and name != "numpy"]
"""
    assert fresh_python(code) == []


EXAMPLES = {
    command: examples(importlib.import_module(f"pe_nnunet.cli.{command.replace('-', '_')}").__doc__ or "")
    for command in COMMANDS
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_that_parse(command: str) -> None:
    assert EXAMPLES[command]
    for example in EXAMPLES[command]:
        arguments = example.arguments
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        program, *words = shlex.split(example.command)
        name = "predict-fused" if program == "pe-nnunet-predict-fused" else words[0]
        command_parser(name).parse_args(arguments)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_into_80_columns(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, command_parser(command).format_help().splitlines())) < 80
    monkeypatch.setenv("COLUMNS", "40")
    assert command_parser(command).format_help()


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["evalute"], "did you mean evaluate?"),
        (["convert", "dicmo", "SRC", "-d", "501"], "did you mean dicom?"),
        (["convert", "dicom", "SRC", "-d", "501", "--labls", "M"], "--labls: did you mean --labels?"),
        (["convert", "dicom", "SRC", "-d", "501", "--scheme", "artery_pe"], "did you mean artery-pe?"),
        (["evaluate", "--inptu", "P"], "--inptu: did you mean --input?"),
        (["phantom", "OUT", "--format", "dcm"], "did you mean dicom?"),
        (["predict-fused", "-i", "S", "-o", "O", "--save-probabilty"], "did you mean --save-probability?"),
        (["completion", "bsh"], "did you mean bash?"),
    ],
)
def test_a_near_miss_is_named(arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 1
    assert meant in capsys.readouterr().err


def test_the_page_of_commands_is_up_to_date() -> None:
    documented = Path(__file__).parents[2] / "docs" / "commands.md"
    assert documented.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize(("command", "former"), RENAMED)
@pytest.mark.parametrize("value", [[], ["1"], None])
def test_a_former_spelling_names_the_one_of_today(
    command: str, former: str, value: list[str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{former}=1"] if value is None else [former, *value]
    with pytest.raises(SystemExit) as stop:
        main([command, *arguments])
    assert stop.value.code == 1
    assert capsys.readouterr().err.endswith(f"{former} is now called {RENAMED[command, former]}\n")
