"""One process that reads cases: started by the runner with ranges of numbers, says of each what came of it.

python -m fuzz.worker FOLDER KEPT '[["nifti", 1, 0, 200], ...]'      (reader, seed, first number, last + 1)
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import shutil
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.readers import READERS
from fuzz.runner import FAILURES, LIMIT_BYTES
from fuzz.sample import Files, Reader, RefusedError, write
from pe_nnunet.errors import PEError

MOST_CHANGES = 4


def case_of(name: str, reader: Reader, seeds: list[Files], seed: int, number: int) -> tuple[Files, str]:
    """The case of a number: the same at every call."""
    rng = np.random.default_rng([seed, int(hashlib.sha256(name.encode()).hexdigest()[:8], 16), number])
    files, said = dict(seeds[number % len(seeds)]), []
    changes = min(int(rng.geometric(0.55)), MOST_CHANGES)
    while len(said) < changes:
        try:
            files, what = reader.mutate(rng, files)
        except Exception as error:  # noqa: BLE001 - what the changes before left cannot be changed further
            said.append(f"not changed: {type(error).__name__}")
            break
        said.append(what)
    return files, "; ".join(said)


def outcome(reader: Reader, folder: Path, say: Any) -> dict[str, Any]:
    """What reading and comparing a folder comes to: `kind` is refused, same or a failure, and why."""
    started = time.perf_counter()
    try:
        found = reader.read(folder)
        kind, why = "read", ""
    except PEError as error:
        memory = isinstance(error.__cause__, MemoryError)
        kind, why = ("memory" if memory else "refused"), str(error) if memory else error.code
    except Exception:  # noqa: BLE001 - this is what is looked for
        kind, why = "traceback", _last_lines()
    say({"seconds": time.perf_counter() - started, "peak": _peak_bytes()})
    if kind != "read":
        return {"kind": kind, "why": why}
    try:
        problem = reader.compare(folder, found)
    except RefusedError as error:
        return {"kind": "lenient", "why": str(error)}
    except Exception:  # noqa: BLE001 - a defect of the comparison, to be mended there
        return {"kind": "check", "why": _last_lines()}
    return {"kind": "differs" if problem else "same", "why": problem}


def _last_lines() -> str:
    lines = [line.strip() for line in traceback.format_exc().splitlines() if line.strip()]
    places = [line for line in lines if line.startswith("File")]
    own = [line for line in places if "pe_nnunet" in line or "/fuzz/" in line]
    return " | ".join([lines[-1], *own[-1:], *places[-1:]])[:500]


def _peak_bytes() -> int:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10
    return 0


def _reset_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main(folder: Path, kept: Path, jobs: list[list[Any]]) -> None:
    """Read the cases of all jobs; what fails stays below `kept`."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    faulthandler.enable()

    def say(what: dict[str, Any]) -> None:
        out.write(json.dumps(what) + "\n")

    for name, seed, first, last in jobs:
        reader = READERS[name]
        seeds = reader.seeds()
        for number in range(first, last):
            files, what = case_of(name, reader, seeds, seed, number)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                write(files, folder)
            except (OSError, ValueError):  # a name that no file can have
                continue
            say({"begin": number, "reader": name, "what": what})
            _reset_peak()
            found = outcome(reader, folder, say)
            if found["kind"] in FAILURES or _peak_bytes() > LIMIT_BYTES:  # this process goes on to the next case
                place = kept / f"{name}_{seed}_{number}"
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(folder, place / "input")
            say({"end": number, **found})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
