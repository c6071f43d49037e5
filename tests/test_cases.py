"""The loop over cases: one that fails is listed and the others go on, with workers and without."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pe_nnunet.cases import CaseFailure, CaseLimits, run_cases, step_bar, step_progress, work_through
from pe_nnunet.errors import ConfigurationError, InputError, OutputError
from pe_nnunet.processes import case_process
from pe_nnunet.processes.case_process import CaseProcess, Lost, case_processes, first_done, start_ahead

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
        found = list(run_cases(work, {str(k): k for k in range(5)}, 2, in_order=in_order, died="PE-EVAL-010"))
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


def lose(number: int) -> int:
    """As files do to libraries: abort, end without a word, loop, take all memory; each where it is the case."""
    if number == 1:
        os.abort()
    if number == 2:
        os._exit(0)
    if number == 3:
        time.sleep(60)
    if number == 4:
        return len(bytearray(1 << 46))
    if number == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.getpid()


def its_process(process: int) -> int:
    return process


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find the jobs of this file as this one does."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


LOST = {"1": "PE-IN-008", "2": "PE-IN-008", "3": "PE-IN-007", "4": "PE-IN-006", "5": "PE-IN-008"}


@pytest.mark.parametrize("reading", [False, True])
def test_what_takes_its_process_costs_one_case(reading: bool) -> None:
    work, read = (its_process, lose) if reading else (lose, None)
    limits, items = CaseLimits(case_timeout_s=2), {str(k): k for k in range(7)}
    found, failed = work_through(work, items, read=read, limits=limits, quiet=True)
    assert {failure.case_id: failure.code for failure in failed} == LOST
    assert set(found) == {"0", "6"}
    assert os.getpid() not in found.values()


def test_a_process_is_kept_for_the_next_cases_and_an_array_comes_back_whole(monkeypatch) -> None:
    monkeypatch.setattr(case_process, "_idle", [])
    with case_processes(1) as (process,):
        process.begin(np.arange, 1_000_000)
        assert np.array_equal(process.result(), np.arange(1_000_000))
        process.begin(int, "none")
        with pytest.raises(ValueError, match="invalid literal"):
            process.result()
    with case_processes(1) as (again,):
        assert again is process


def test_a_limit_below_zero_is_refused_and_zero_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"PE-IN-007: --case-timeout"):
        CaseLimits(case_timeout_s=-1)
    with pytest.raises(ConfigurationError, match=r"PE-IN-007: --case-timeout"):
        CaseLimits(case_timeout_s=1e12)
    assert (CaseLimits(case_timeout_s=0).apart_s, CaseLimits().apart_s) == (None, 3600)


def test_steps_end_where_the_time_is_over() -> None:
    with step_bar("a", "window", timeout_s=1e-9) as show, pytest.raises(InputError, match="PE-IN-007"):
        show(1, 2)


class Clock:
    """Seconds that pass when it is told so."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(step_progress.time, "monotonic", lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds


def test_without_a_terminal_steps_are_lines_every_half_minute(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with step_bar("[1/2] a\x1b[2J", "window") as show:
        show(0, 10)
        for done in range(1, 11):
            clock.passes(12)
            show(done, 10, "m fold 0")
    assert capsys.readouterr() == (
        "",
        r"[1/2] a\x1b[2J: 3/10 windows, about 84 s left, m fold 0"
        "\n"
        r"[1/2] a\x1b[2J: 6/10 windows, about 48 s left, m fold 0"
        "\n"
        r"[1/2] a\x1b[2J: 9/10 windows, about 12 s left, m fold 0"
        "\n",
    )


def test_quick_steps_say_nothing_without_a_terminal(capsys):
    with step_bar("a", "slice") as show:
        show(1, 2)
        show(2, 2)
    assert capsys.readouterr() == ("", "")


def test_the_time_left_is_by_the_share_and_counted_anew_for_other_steps(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with step_bar("a", "window") as show:
        show(0, 3, share=0.0)
        clock.passes(40)
        show(2, 3, share=0.2)  # the last window takes four fifths of the time
        clock.passes(400)
        show(0, 5, share=0.0)
        clock.passes(31)
        show(1, 5, share=0.5)
    assert capsys.readouterr().err == "a: 2/3 windows, about 2.7 minutes left\na: 1/5 windows, about 31 s left\n"


def test_the_time_of_all_steps_is_foreseen_after_the_second(monkeypatch):
    clock, told = Clock(monkeypatch), []
    with step_bar("a", "window", foreseen=told.append) as show:
        show(0, 20)
        for done in range(1, 5):
            clock.passes(7)
            show(done, 20)
    assert told == [140]


def test_on_a_terminal_steps_are_a_bar(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    with step_bar("a", "window") as show:
        show(0, 4)
        show(3, 4, "m fold 0")
    assert "a   0%, 0/4 windows |" in stream.getvalue()


def test_a_process_that_was_started_ahead_takes_the_first_job_with_its_imports_done(monkeypatch):
    monkeypatch.setattr(case_process, "_idle", [])
    start_ahead("colorsys")
    start_ahead("colorsys")
    (ahead,) = case_process._idle
    with case_processes(1) as (process,):
        assert process is ahead
        process.begin(_loaded, "colorsys")
        assert process.result() is True
    process.kill()


def test_a_process_for_one_run_ends_before_its_last_case_is_worked_on(monkeypatch):
    monkeypatch.setattr(case_process, "_idle", [])
    start_ahead("colorsys", once=True)
    (ahead,) = case_process._idle
    items = {"a": 1, "b": 2}
    assert dict(run_cases(lambda _: ahead.alive, items, read=abs, limits=CaseLimits())) == {"a": True, "b": False}
    assert case_process._idle == []
    start_ahead("colorsys", once=True)  # one that replaces it, as a file made it die, ends like it
    assert len(dict(run_cases(its_process, {"a": 2, "b": 0}, read=lose, limits=CaseLimits()))) == 2
    assert case_process._idle == []


def test_a_process_that_cannot_import_says_so_at_its_first_job(monkeypatch):
    monkeypatch.setattr(case_process, "_idle", [])
    start_ahead("no_such_module_at_all")
    with case_processes(1) as (process,), pytest.raises(ModuleNotFoundError):
        process.begin(_loaded, "colorsys")
    process.kill()


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("prepared", [False, True])
def test_a_process_that_is_killed_before_its_first_job_costs_that_job(prepared):
    process = CaseProcess()
    if prepared:
        process.prepare("colorsys")
    process._process.kill()
    process._process.join()
    process.begin(_loaded, "colorsys")
    assert first_done([process]) is process
    lost = process.result()
    assert isinstance(lost, Lost)
    assert lost.killed
    assert not process.alive


def test_a_process_that_cannot_be_reached_is_not_waited_for(monkeypatch):
    process = CaseProcess()

    def no_room(_):
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    monkeypatch.setattr(process, "_pipe", SimpleNamespace(send_bytes=no_room, close=process.pipe.close))
    process.begin(_loaded, "colorsys")
    assert not process.alive


def _loaded(module):
    return module in sys.modules


class Unreadable:
    """A job that its process cannot read: what is asked for to make it again is not there."""

    def __reduce__(self):
        return _gone, ()


def _gone():
    raise ModuleNotFoundError("no module named gone")


def test_a_job_that_cannot_be_read_is_an_error_and_not_waited_for():
    with pytest.raises(ModuleNotFoundError, match="gone"):
        work_through(its_process, {"a": Unreadable()}, limits=CaseLimits(case_timeout_s=20), quiet=True)
    with case_processes(1) as (process,):
        process.begin(len, Unreadable())
        with pytest.raises(ModuleNotFoundError, match="gone"):
            process.result()
