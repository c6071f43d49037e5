"""Trainings of several folds, by a stand-in for nnU-Net's command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pe_nnunet.cases import work_through
from pe_nnunet.trainers.fold_jobs import FoldJob, fold_jobs, train

TRAIN = """
import sys
from pathlib import Path
fold = Path(sys.argv[1], "TA__P__3d_fullres", "fold_" + sys.argv[5])
print("training", *sys.argv[2:])
if sys.argv[5] == "1":
    sys.exit("no data")
(fold / "validation").mkdir()
for name in ("checkpoint_final.pth", "validation/summary.json"):
    (fold / name).touch()
"""


def test_folds_are_trained_once_and_one_that_fails_is_listed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    jobs = fold_jobs(
        tmp_path, command, "Dataset501_X", [("TA", "P", "3d_fullres")], ["0", "1", "2"], ["-device", "cpu"]
    )
    assert list(jobs) == [f"TA__P__3d_fullres/fold_{fold}" for fold in "012"]
    trained, failed = work_through(train, jobs, quiet=True)
    assert [job.done() for job in trained.values()] == [True, True]
    assert [(one.case_id, one.code) for one in failed] == [("TA__P__3d_fullres/fold_1", "PE-CLU-009")]
    assert "training_log_process.txt says why" in failed[0].message
    assert "no data" in jobs["TA__P__3d_fullres/fold_1"].log.read_text()
    said = jobs["TA__P__3d_fullres/fold_0"].log.read_text()
    assert said == "training nnUNetv2_train Dataset501_X 3d_fullres 0 -tr TA -p P --c -device cpu\n"
    work_through(train, jobs, quiet=True)
    assert jobs["TA__P__3d_fullres/fold_0"].log.read_text() == said


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_a_training_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    mark = tmp_path / "fold_0" / "pid"
    child = (
        "import multiprocessing, os, sys, time; from pe_nnunet.processes import end_with_stdin; end_with_stdin(); "
        "forked = multiprocessing.get_context('fork').Process(target=time.time); "  # as nnU-Net's that load data
        "forked.start(); forked.join(); "
        f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    starter = (
        "import sys; from pathlib import Path; from pe_nnunet.trainers.fold_jobs import FoldJob, train; "
        f"train(FoldJob(Path({str(mark.parent)!r}), (sys.executable, '-c', {child!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", starter])
    _until(lambda: mark.is_file() and mark.read_text() != "")
    process.kill()
    process.wait()
    _until(lambda: not _alive(int(mark.read_text())))


def test_a_fold_without_validation_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_final.pth").touch()
    assert not FoldJob(tmp_path, ()).done()


def _until(holds, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] if Path("/proc/self/stat").exists() else True
    except (ProcessLookupError, FileNotFoundError):
        return False
