"""Runs cases in workers: one is started anew when it crashes or hangs, and what failed is kept with its reason."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
LIMIT_S = 10.0  # of a processor's time
WAITING = 6  # times the limit may pass on a machine that does other things, too
LIMIT_BYTES = 3 << 30
STARTING_S = 300.0  # imports and seeds
COMPARING_S = 60.0  # the independent reader's time is no matter of ours
FAILURES = ("traceback", "died", "slow", "memory", "differs", "lenient", "check")

Job = tuple[str, int, int, int]  # reader, seed, first number, last + 1


@dataclass
class Report:
    """What came of the cases of one reader."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    most_bytes: int = 0


class Worker:
    """A worker and what it says, line by line."""

    def __init__(self, folder: Path, kept: Path, jobs: Sequence[Job]) -> None:
        command = [sys.executable, "-m", "fuzz.worker", str(folder), str(kept), json.dumps(jobs)]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, cwd=REPOSITORY)
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def say(self, timeout_s: float) -> dict[str, Any] | None:
        """The next thing that it says; None where it has ended. Raises queue.Empty after the time."""
        line = self._lines.get(timeout=timeout_s)
        return json.loads(line) if line else None

    def busy_s(self) -> float:
        """Seconds that processors have worked on it; all that have passed where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return time.monotonic()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> str:
        """End it, and how it ended: its status and last words."""
        self.process.kill() if self.process.poll() is None else None
        status = self.process.wait()
        self.errors.seek(0)
        words = self.errors.read().decode("utf-8", "replace").splitlines()
        self.errors.close()
        return f"status {status}: {' | '.join(line.strip() for line in words[-4:] if line.strip())[:400]}"


def run(jobs: Sequence[Job], kept: Path, tell: Callable[[str], None], reports: dict[str, Report]) -> None:
    """Run jobs one after another.

    Args:
        jobs: What to run.
        kept: Where failing cases are kept.
        tell: Called with each failure, in one line.
        reports: Filled, by reader.
    """
    with tempfile.TemporaryDirectory(prefix="pe_nnunet_fuzz_") as temporary:
        folder = Path(temporary, "case")
        left = list(jobs)
        while left:
            left = _until_lost(left, folder, kept, tell, reports)


def _until_lost(
    jobs: list[Job], folder: Path, kept: Path, tell: Callable[[str], None], reports: dict[str, Report]
) -> list[Job]:
    """Run jobs with one worker; what is left of them where it was lost with a case."""
    worker = Worker(folder, kept, jobs)
    name, number, what, limit_s = "", -1, "", STARTING_S
    begun = time.monotonic()
    deadline, busy_s, peak = begun + limit_s, 0.0, 0
    lost = ""
    while True:
        try:
            said = worker.say(max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            now = time.monotonic()
            if limit_s == LIMIT_S and worker.busy_s() - busy_s < LIMIT_S and now < begun + WAITING * LIMIT_S:
                deadline = now + LIMIT_S / 10
                continue
            lost = "slow" if limit_s == LIMIT_S else "check"
            break
        if said is None:
            lost = "" if number < 0 and worker.process.wait() == 0 else "died"
            break
        limit_s = STARTING_S
        if "begin" in said:
            name, number, what, limit_s = said["reader"], said["begin"], said["what"], LIMIT_S
            busy_s = worker.busy_s()
        elif "seconds" in said:
            report, limit_s = reports[name], COMPARING_S
            report.slowest_s = max(report.slowest_s, said["seconds"])
            peak = said["peak"]
            report.most_bytes = max(report.most_bytes, peak)
        else:
            reports[name].counts[said["kind"]] += 1
            if said["kind"] == "refused":
                reports[name].codes[said["why"]] += 1
            if peak > LIMIT_BYTES:
                _keep("memory", name, number, what, f"{peak >> 20} MiB", folder, kept, tell, jobs, reports)
            if said["kind"] in FAILURES:
                _keep(said["kind"], name, number, what, said["why"], folder, kept, tell, jobs, reports)
            number = -1
        begun = time.monotonic()
        deadline = begun + limit_s
    ended = worker.end()
    if not lost:
        return []
    if number < 0:
        raise RuntimeError(f"a worker ended between cases: {ended}")
    reports[name].counts[lost] += 1
    reason = f"over {limit_s:g} s" if lost != "died" else ended
    _keep(lost, name, number, what, reason, folder, kept, tell, jobs, reports)
    at = next(k for k, job in enumerate(jobs) if job[0] == name and job[2] <= number < job[3])
    reader, seed, _, last = jobs[at]
    return [*([(reader, seed, number + 1, last)] if number + 1 < last else []), *jobs[at + 1 :]]


def _keep(
    kind: str, name: str, number: int, what: str, why: str, folder: Path, kept: Path,
    tell: Callable[[str], None], jobs: Sequence[Job], reports: dict[str, Report],
) -> None:  # fmt: skip
    seed = next(job[1] for job in jobs if job[0] == name)
    place = kept / f"{name}_{seed}_{number}"
    if kind in {"died", "slow"}:  # else the worker has kept it
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place / "input")
    place.mkdir(parents=True, exist_ok=True)
    reason = f"{kind}: {' '.join(why.split())}"
    (place / "reason.txt").write_text(
        f"reader {name}, seed {seed}, case {number}\n{what}\n{reason}\n", encoding="utf-8"
    )
    line = f"{place.name}: {reason[:300]} [{what[:160]}]"
    reports[name].failures.append(line)
    tell(line)
