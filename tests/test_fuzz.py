"""Mutated files over our readers, a few of each; and that the machinery finds what it is there to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
CASES = 200


def fuzz(*arguments: str | Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command, or some code that starts it, in the repository."""
    start = ["-c", code] if code else ["-m", "fuzz"]
    command = [sys.executable, *start, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)


def test_mutated_files(tmp_path: Path) -> None:
    done = fuzz("--files", str(CASES), "--seed", "1", "--jobs", "2", "--keep", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [line.split() for line in done.stdout.splitlines()[1:]]
    assert len(counts) == 11
    for reader, cases, refused, same, failed, *_ in counts:
        assert int(cases) >= 0.9 * CASES, reader
        assert int(failed) == 0, reader
        assert min(int(refused), int(same)) >= 10, reader  # neither is all refused, nor all as it was
    assert list(tmp_path.iterdir()) == []


FAULTS = {
    "traceback": "raise IndexError('planted')",
    "died": "import os; os.abort()",
    "slow": "while True: pass",
    "memory": "import numpy; numpy.ones(160 << 20, 'u1'); return 'as it was'",
    "differs": "return 'other'",
}


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A package `fuzz` whose reader fails in each of the ways, one a case; its limits are 3 s and 128 MiB."""
    for name in ("__init__", "__main__", "runner", "worker", "sample"):
        text = (REPOSITORY / "fuzz" / f"{name}.py").read_text(encoding="utf-8")
        text = text.replace("LIMIT_S = 10.0", "LIMIT_S = 3.0").replace("3 << 30", "128 << 20")
        (tmp_path / "fuzz").mkdir(exist_ok=True)
        (tmp_path / "fuzz" / f"{name}.py").write_text(text, encoding="utf-8")
    branches = "\n".join(f"    if number == {k}:\n        {fault}" for k, fault in enumerate(FAULTS.values()))
    (tmp_path / "fuzz" / "readers.py").write_text(
        f"""
from fuzz.sample import Reader
from pe_nnunet.errors import InputError


def read(folder):
    number = int((folder / "a").read_bytes())
{branches}
    if number == 9:
        raise InputError("PE-IN-003", "no")
    return "as it was"


def change(rng, files):
    return files, "nothing"


READERS = {{"a": Reader(lambda: [{{"a": b"%d" % k}} for k in range(10)], change, read,
                        lambda _, found: "" if found == "as it was" else "not as it was")}}
""",
        encoding="utf-8",
    )
    return tmp_path


def test_what_a_reader_can_do_wrong_is_found_and_kept(faulty: Path) -> None:
    command = [sys.executable, "-m", "fuzz", "--files", "10", "--keep", "kept"]
    done = subprocess.run(command, cwd=faulty, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    kept = {path.name: (path / "reason.txt").read_text(encoding="utf-8") for path in (faulty / "kept").iterdir()}
    assert sorted(kept) == [f"a_1_{k}" for k in range(len(FAULTS))]
    for k, kind in enumerate(FAULTS):
        assert f"\n{kind}: " in kept[f"a_1_{k}"]
        assert (faulty / "kept" / f"a_1_{k}" / "input" / "a").read_bytes() == b"%d" % k
    row = next(line for line in done.stdout.splitlines() if line.startswith("a "))
    assert row.split()[:5] == ["a", "10", "1", "5", "5"]  # the one that took too much memory was read as it was
    again = [sys.executable, "-m", "fuzz", "--replay", "kept/a_1_0"]
    replayed = subprocess.run(again, cwd=faulty, capture_output=True, text=True, timeout=300)
    assert replayed.returncode == 1
    assert "now: traceback IndexError: planted" in replayed.stdout
