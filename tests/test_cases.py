"""The loop over cases: one that fails is listed and the others go on, with workers and without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pe_nnunet.cases import CaseFailure, run_cases, work_through
from pe_nnunet.errors import InputError, OutputError

ITEMS = {"a": 2, "b": 0, "c": -1, "d": 4}


def work(number: int) -> float:
    if number < 0:
        raise InputError("PE-IN-003", "below zero", "give more")
    return 8 / number


def test_a_failing_case_is_listed_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[tuple[str, float, bool]] = []
    found, failed = work_through(work, ITEMS, say=lambda case, result, left: said.append((case, result, bool(left))))
    assert found == {"a": 4.0, "d": 2.0}
    assert [(f.case_id, f.code) for f in failed] == [("b", "PE-ENV-006"), ("c", "PE-IN-003")]
    assert said == [("a", 4.0, True), ("d", 2.0, False)]
    assert capsys.readouterr().err == "".join(f"{failure}\n" for failure in failed)
    assert work_through(work, ITEMS, quiet=True) == (found, failed)
    assert capsys.readouterr() == ("", "")


def test_some_errors_end_the_run() -> None:
    done = []

    def full(number: int) -> None:
        if not number:
            raise OutputError("PE-OUT-001", "no space left")

    with pytest.raises(OutputError):
        done += [case for case, _ in run_cases(full, ITEMS, ends=(OutputError,))]
    assert isinstance(dict(run_cases(full, ITEMS))["b"], CaseFailure)


SCRIPT = """
import os, signal
from pe_nnunet.cases import CaseFailure, run_cases

def work(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1 / number

if __name__ == "__main__":
    for in_order in (True, False):
        found = list(run_cases(work, {str(k): k for k in range(5)}, 2, in_order=in_order))
        assert sorted(case for case, _ in found) == list("01234")
        if in_order:
            assert [case for case, _ in found] == list("01234")
        failed = {case: one.code for case, one in found if isinstance(one, CaseFailure)}
        assert failed == {"0": "PE-ENV-006", "2": "PE-EVAL-010"}, failed
"""


def test_a_worker_that_dies_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    script = tmp_path / "dying.py"  # a file, for spawned workers import the function from it
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, str(script)], check=True, timeout=120)
