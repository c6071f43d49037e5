"""Text of others reaches terminal, JSON, CSV and HTML without control characters, and no cell is a formula."""

import csv
import json
import subprocess
import sys
from copy import copy

import pytest

from pe_nnunet.cases import CaseFailure, write_errors
from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.cli.terminal import shown_output
from pe_nnunet.errors import InputError, Note
from pe_nnunet.errors.shown import shown, without
from pe_nnunet.evaluation.text_tables import read_groups
from pe_nnunet.files import atomic_csv, atomic_json, csv_text, csv_value, text_sha256
from pe_nnunet.outputs import CaseSummary, write_cohort_report, write_summary

BAD = "a\x1b[2J\x07\x9b31m\u202e\u2066\u200b\ufeff\x00\r\n\udcffz\u2028"
RAW = ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\x00", "\r", "\udcff", "\u2028")


def test_control_characters_are_escaped_in_errors_notes_and_failures():
    error = copy(InputError("PE-IN-003", BAD, BAD))  # by its arguments, as a worker process sends it
    for text in map(str, (error, Note("PE-NII-008", "warning", BAD), CaseFailure.of(BAD, error), shown(BAD))):
        assert not [character for character in (*RAW, "\n") if character in text]
        assert "\\x1b[2J" in text
        assert "\\u202e" in text
        assert "\\udcff" in text
    internal = CaseFailure.of(BAD, ValueError(BAD))
    assert internal.code == "PE-ENV-006"
    assert "\x1b" not in str(internal)
    assert shown("Müller 山田 e\u0301 \U0001f600") == "Müller 山田 e\u0301 \U0001f600"


def test_files_hold_escapes_and_json_gives_the_name_back(tmp_path):
    write_errors([CaseFailure(BAD, "PE-IN-003", BAD)], tmp_path)
    assert "\\\\x1b" in (tmp_path / "errors.json").read_text(encoding="utf-8")
    atomic_json(tmp_path / "a.json", {"name": BAD, "emoji": "\U0001f600", "tag": "\U000e0041"})
    text = (tmp_path / "a.json").read_bytes().decode("utf-8")
    assert not [character for character in RAW if character in text]
    assert json.loads(text) == {"name": BAD, "emoji": "\U0001f600", "tag": "\U000e0041"}
    row = CaseSummary(BAD, 0.5, 1, 2.0, 3.0, (BAD,))
    write_summary([row], tmp_path)
    write_cohort_report([row], [CaseFailure(BAD, "PE-IN-003", BAD)], OutputFolder(tmp_path))
    for name in ("summary.csv", "report.html"):
        text = (tmp_path / name).read_bytes().decode("utf-8")
        assert not [character for character in RAW if character in text]
    assert len(text_sha256(BAD)) == 64


def test_stdout_shows_escapes_and_does_not_fail_at_names_that_are_no_text(capsys):
    with shown_output():
        print("case", BAD, "Müller", sep="\t")
        print("a\nb", end="")
    out = capsys.readouterr().out
    assert out.startswith("case\ta\\x1b[2J\\x07\\x9b31m\\u202e")
    assert out.endswith("\tMüller\na\nb")


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "\uff1d1", "\n=1", "-a", "=-1"],
)
def test_no_cell_begins_as_a_formula_and_reading_gives_it_back(tmp_path, text):
    atomic_csv(tmp_path / "t.csv", ["case", text], [{"case": text, text: text}])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        (head, row) = csv.reader(file)
    for cell in (*head[1:], *row):
        assert cell.startswith("'")
    assert csv_value(row[1]) == text.replace("\t", " ").replace("\n", " ").replace("\r", " ")


def test_numbers_stay_numbers():
    cells = ["-3.5", "+2", "-1e-05", "-inf", -4, -0.5, "nan", "", None, "a-b", "'quoted'", "1=1"]
    (row,) = list(csv.reader(csv_text(["a"] * len(cells), [cells]).splitlines()[1:]))
    assert row == ["-3.5", "+2", "-1e-05", "-inf", "-4", "-0.5", "nan", "", "", "a-b", "'quoted'", "1=1"]
    assert list(map(csv_value, row)) == row


def test_tables_of_groups_are_read_with_and_without_the_apostrophe(tmp_path):
    (tmp_path / "g.csv").write_text(csv_text(["case", "site"], [["a", "=north"], ["b", "-south"]]), encoding="utf-8")
    assert read_groups(tmp_path / "g.csv", "site") == {"a": "=north", "b": "-south"}


def test_names_are_hidden_the_longest_first_and_as_they_are_shown():
    assert without("x/Doe_Jane/Doe", ["Doe", "Doe_Jane", ""]) == "x/.../..."
    assert without(shown("no a\x1bb"), ["a\x1bb"]) == "no ..."


def test_a_file_name_that_is_no_text_costs_its_case_alone_and_ends_no_process(tmp_path):
    code = """
import os, sys
import numpy as np, SimpleITK as sitk
from pathlib import Path
from pe_nnunet.cli import main
os.chdir(sys.argv[1])
image = sitk.GetImageFromArray(np.random.default_rng(0).integers(-1000, 1000, (6, 8, 8)).astype(np.int16))
os.mkdir("in")
sitk.WriteImage(image, "in/a.mha")
os.rename("in/a.mha", b"in/b\\xff\\x1b[31m.mha")
sitk.WriteImage(image, "in/a.mha")
assert main(["slices", "nifti", "in", "out"]) == 3
assert main(["slices", "nifti", "in/a.mha", "o\\udcff"]) == 2
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode("utf-8")
    assert done.returncode == 0, said
    assert "PE-CONV-040" in said
    assert "PE-OUT-015" in said
    assert "\\udcff\\x1b[31m" in said
    assert "\x1b" not in said
    assert (tmp_path / "out" / "a" / "ct.nii.gz").is_file()
