"""The table of output formats: the command, the files of a case, its manifest and the docs go by it."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pe_nnunet.cli.predict_fused import configure
from pe_nnunet.errors import Note, OutputError
from pe_nnunet.outputs import CaseResult, write_case
from pe_nnunet.outputs.writers import DEFAULT, WRITERS, Writer, kinds_for, switch_helps

DOCS = Path(__file__).parents[2] / "docs" / "outputs.md"


def switches(*given: str) -> list[str]:
    parser = argparse.ArgumentParser()
    configure(parser)
    return list(parser.parse_args(["-i", "scans", "-o", "out", *given]).switches)


def row_of(writer: Writer) -> str:
    asked, left_out = f"; with `{writer.switch}`", f"; `{writer.switch}` leaves it out"
    choice = "" if not writer.switch else asked if writer.switch.startswith("--save-") else left_out
    return f"| `<case>{writer.shown or writer.suffix}` | {writer.content}{choice} |"


def test_the_docs_list_every_file_of_a_case_and_no_other() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `<case>")]
    manifest = [row for row in rows if row.startswith("| `<case>.json` |")]
    assert len(manifest) == 1
    assert [row for row in rows if row not in manifest] == list(dict.fromkeys(map(row_of, WRITERS.values())))


def test_names_differ() -> None:
    assert len({".json", *(writer.suffix for writer in WRITERS.values())}) == len(WRITERS) + 1


def test_the_commands_switches_add_files_or_leave_them_out() -> None:
    assert switch_helps().keys() >= {
        "--save-probability", "--save-agreement", "--save-parts", "--no-dicom-seg", "--no-dicom-sr",
        "--no-key-images", "--no-report",
    }  # fmt: skip
    assert kinds_for(switches()) == DEFAULT >= {"emboli", "table", "dicom_seg", "dicom_sr", "picture", "report"}
    keys = {f"key_image_{number}" for number in range(1, 9)}
    assert DEFAULT - kinds_for(switches("--no-key-images", "--no-dicom-sr")) == {"dicom_sr", *keys}
    assert not DEFAULT & {"probability", "agreement", "segmentation", "detections", "detections_table"}
    assert kinds_for(switches("--save-parts")) - DEFAULT == {"segmentation", "detections", "detections_table"}
    assert DEFAULT - kinds_for(switches("--no-report", "--no-dicom-seg")) == {"dicom_seg", "report"}
    assert kinds_for(switches()) == DEFAULT  # of another command line, nothing is left


@pytest.fixture
def with_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format more, in one entry."""

    def write(case: CaseResult, path: Path) -> list[Note]:
        path.write_text(f"{len(case.emboli.kept)} emboli")
        return [Note("PE-OUT-005", "warning", "shortened")]

    more = Writer("_count.txt", "how many", write, lambda case: bool(case.emboli.kept), switch="--save-count")
    monkeypatch.setitem(WRITERS, "count", more)


@pytest.mark.usefixtures("with_text")
def test_a_new_format_is_one_entry(case: CaseResult, tmp_path: Path) -> None:
    assert switch_helps()["--save-count"] == "also write <case>_count.txt: how many"
    asked = kinds_for(switches("--save-count"))
    assert asked - {"count"} == kinds_for(switches()) == DEFAULT
    summary = write_case(case, tmp_path, asked - {"picture", "report"})
    manifest = json.loads((tmp_path / "case_1.json").read_text(encoding="utf-8"))
    assert manifest["files"]["count"] == "case_1_count.txt"
    assert (tmp_path / "case_1_count.txt").read_text() == "2 emboli"
    assert summary.notes[-1] == "PE-OUT-005 warning: shortened"
    write_case(case, tmp_path, {"table"})
    assert not (tmp_path / "case_1_count.txt").exists()  # it was of the run before


@pytest.mark.usefixtures("with_text")
def test_what_a_case_does_not_allow_is_a_note_and_other_failures_end_it(
    case: CaseResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(code: str) -> Writer:
        def write(case: CaseResult, path: Path) -> None:
            raise OutputError(code, "not this one")

        return replace(WRITERS["count"], write=write)

    monkeypatch.setitem(WRITERS, "count", refused("PE-OUT-004"))
    assert write_case(case, tmp_path, {"table", "count"}).notes[-1] == "PE-OUT-004 warning: not this one"
    assert list(json.loads((tmp_path / "case_1.json").read_text())["files"]) == ["table"]
    monkeypatch.setitem(WRITERS, "count", refused("PE-OUT-001"))
    with pytest.raises(OutputError, match="PE-OUT-001"):
        write_case(case, tmp_path, {"table", "count"})
    assert not (tmp_path / "case_1.json").exists()
