"""The commands and code of the pages: those of tutorials are run on small phantoms, and all of them are parsed.

A block after the comment `<!-- checked -->` needs hours, weights or a download: its commands are parsed alone, by the
parser of the command itself. So are the commands of all other pages. A `text` block is what the block before it prints,
where `...` stands for anything. A block after `<!-- trains -->` trains, or takes what was trained: `make tutorials`
runs it too, with trainings of two steps; else it is parsed. All other models are the starter model.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from doctest import ELLIPSIS, OutputChecker
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import SimpleITK as sitk
from markdown_it import MarkdownIt

from pe_nnunet.cli import COMMANDS, FORMER_COMMANDS, main
from tests.conftest import run_nnunet_here

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES = {str(path.relative_to(REPOSITORY)): path for path in sorted([*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")])}
RUN = [*sorted((DOCS / "tutorials").glob("*.md")), DOCS / "index.md", DOCS / "what_this_is.md"]
PREDICT = "pe-nnunet-predict-fused"
NOT_RUN = {"<!-- checked -->", *(() if os.environ.get("PE_NNUNET_TEST_TRAININGS") else ("<!-- trains -->",))}
STEPS = "epochs=1 iterations=2 validation_iterations=1 test_time_mirroring=no"  # of a training, whatever a page says


class Block(NamedTuple):
    """A block of code of a page; without a language where it is indented."""

    language: str
    text: str
    checked: bool


def blocks(page: Path) -> Iterator[Block]:
    before = ""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type in {"fence", "code_block"}:
            yield Block(token.info.strip(), token.content, before in NOT_RUN)
        if token.content:
            before = token.content.strip()


def lines(text: str) -> list[list[str]]:
    """The words of each line of shell, continued lines joined, without comments, settings in front and brackets."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(re.sub(r"\[(-.*?)\]", r"\1", line), comments=True)
        except ValueError:  # no shell: an apostrophe in a table or a message
            continue
        words = list(takewhile(lambda word: word not in {">", "|", "&&"}, words))
        while words and re.match(r"\w+=", words[0]):
            words.pop(0)
        found.append(words)
    return [words for words in found if words]


def commands(text: str) -> list[list[str]]:
    """Those of ours and of nnU-Net among them."""
    return [words for words in lines(text) if re.match(r"pe-nnunet$|pe-nnunet-|nnUNetv2_\w+$", words[0])]


class _CaughtParser(Exception):  # noqa: N818 - it is no error
    pass


@cache
def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of a command: ours as it is configured, nnU-Net's as its entry point makes it."""
    if not name.startswith("nnUNetv2_"):
        parser = argparse.ArgumentParser(prog=f"pe-nnunet {name}")
        import_module(f"pe_nnunet.cli.{name.replace('-', '_')}").configure(parser)
        parser.add_argument("--debug", action="store_true")
        return parser

    def catch(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise _CaughtParser(parser)

    (entry,) = entry_points(group="console_scripts", name=name)
    start = entry.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", catch)
        with pytest.raises(_CaughtParser) as caught:
            start()
    return caught.value.args[0]


def require_parsed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Have a command parsed; what a page leaves out as `...` is not missed."""
    program, *arguments = words
    if program == PREDICT:
        arguments = ["predict-fused", *arguments]
    elif not program.startswith("nnUNetv2_") and (not arguments or arguments[0].startswith("-")):
        return  # pe-nnunet --version
    name, *arguments = arguments if program.startswith("pe-nnunet") else [program, *arguments]
    name = FORMER_COMMANDS.get(name, name)
    if name in {"COMMAND", "nnUNetv2_"} or "--help" in arguments:
        return
    assert name.startswith("nnUNetv2_") or name in COMMANDS, words
    if name == "run":
        require_parsed(arguments, capsys)
        return
    parser = parser_of(name)
    asked = [asks for asks in (*parser._actions, *parser._mutually_exclusive_groups) if asks.required]
    left_out = any(word.startswith(("...", "ARG")) for word in arguments)
    for asks in asked:
        asks.required = not left_out
    try:
        parser.parse_args(["1" if word[:1] == "$" else word for word in arguments if word != "..."])
    except (SystemExit, argparse.ArgumentError) as error:
        pytest.fail(f"{shlex.join(words)}: {error} {capsys.readouterr().err.splitlines()[-1:]}")
    finally:
        for asks in asked:
            asks.required = True


@pytest.mark.parametrize("name", PAGES)
def test_every_command_on_a_page_is_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(PAGES[name]):
        if block.language in {"", "bash"}:
            for words in commands(block.text):
                require_parsed(words, capsys)


def test_what_is_no_command_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("pe-nnunet verify OUT --jsn", "nnUNetv2_train 501 3d_fullres 0 -trainer X", "pe-nnunet evaluate -i A"):
        with pytest.raises(pytest.fail.Exception):
            require_parsed(line.split(), capsys)
    with pytest.raises(AssertionError):
        require_parsed(["pe-nnunet", "segment"], capsys)
    assert commands("x=1 pe-nnunet a \\\n  b  # c\nls\n  pe-nnunet-x") == [["pe-nnunet", "a", "b"], ["pe-nnunet-x"]]


def shell(text: str) -> str:
    """Run the lines of a block in this process, and give what they print."""
    said = StringIO()
    for words in lines(text):
        name, *arguments = [os.path.expandvars(word) for word in words]
        if name == "export":
            os.environ.update(word.split("=", 1) for word in arguments if not word.startswith("PE_NNUNET_RECIPE="))
        elif name == "mkdir":
            for folder in arguments[1:]:
                Path(folder).mkdir(parents=True, exist_ok=True)
        else:
            with redirect_stdout(said):
                start(name, arguments)
    return said.getvalue()


def start(name: str, arguments: list[str]) -> None:
    """Run a command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        if name.startswith("nnUNetv2_") or "fine-tune" in arguments:
            run_nnunet_here(patch)
        if name.startswith("nnUNetv2_"):
            (entry,) = entry_points(group="console_scripts", name=name)
            patch.setattr(sys, "argv", [name, *arguments])
            entry.load()()
            return
        ours = ["predict-fused", *arguments, "--fast"] if name == PREDICT else arguments  # half of the time
        ours += ["--spacing", "4"] if "--coarse" in ours else []  # a quarter of it
        assert name in {"pe-nnunet", PREDICT}, f"only parsed, not run: {name}"
        assert main(ours) == 0, shlex.join([name, *arguments])


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, as the reader of a tutorial has it; one processor."""
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "PWD"):
        monkeypatch.setenv(name, str(folder))
    for name, value in {"PE_NNUNET_RECIPE": STEPS, "nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    for command in ("predict_fused", "convert", "evaluate", "verify"):  # no process of its own for each case
        monkeypatch.setattr(f"pe_nnunet.cli.{command}.limits", lambda _: None)
    return folder


def prepare(page: str, text: str) -> None:
    """Write the scans that a page takes for granted."""
    coarse = ["--cases", "1", "--coarse", "--spacing", "4", "--negatives", "0"]
    if "STUDY" in text:
        assert main(["phantom", "made", *coarse, "--format", "dicom"]) == 0
        Path("made/phantom_001/ct").rename("STUDY")
    if page == "extending":
        assert main(["phantom", "SCANS", *coarse]) == 0
    if page in {"eight_scans", "cad_pe"}:
        coarse[1] = "2"
        assert main(["phantom", "SCANS", *coarse]) == 0
    if page == "eight_scans":
        for part in ("images", "labels"):
            Path("HELD_OUT", part).mkdir(parents=True)
        scan = Path("SCANS/phantom_001")
        shutil.copy(scan / "ct.nii.gz", "HELD_OUT/images/patient_9.nii.gz")
        shutil.copy(scan / "emboli.nii.gz", "HELD_OUT/labels/patient_9.nii.gz")
        Path("NEW_SCAN").mkdir()
        shutil.copy(scan / "ct.nii.gz", "NEW_SCAN")
    if page == "cad_pe":
        for part in ("images", "rs"):
            Path("CAD_PE", part).mkdir(parents=True)
        for number, scan in zip(("001", "021"), sorted(Path("SCANS").glob("phantom_*")), strict=True):
            for name, place in (("ct", f"images/{number}"), ("emboli", f"rs/0{number}RefStd")):
                sitk.WriteImage(sitk.ReadImage(scan / f"{name}.nii.gz"), Path("CAD_PE", f"{place}.nrrd"))


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
@pytest.mark.usefixtures("reader")
def test_the_blocks_of_a_tutorial_run(page: Path) -> None:
    to_run = [block for block in blocks(page) if not block.checked and block.language]
    with redirect_stdout(StringIO()):
        prepare(page.stem, "".join(block.text for block in to_run))
    names: dict[str, Any] = {"__name__": "page"}
    said = ""
    for block in to_run:
        if block.language == "text":
            assert OutputChecker().check_output(block.text, said, ELLIPSIS), f"{block.text}\nbut it prints\n{said}"
        elif block.language == "python":
            with redirect_stdout(StringIO()) as printed:
                exec(compile(block.text, str(page), "exec"), names)  # noqa: S102 - the page's own code
            said = printed.getvalue()
        else:
            assert block.language == "bash"
            said = shell(block.text)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"- ([\w/]+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
