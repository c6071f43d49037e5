"""What this package adds to `import torch`: loading and calling the entry point that registers it.

    .venv/bin/python benchmarks/import_cost.py [--runs 30]

Measured in fresh interpreters, two ways. Inside: the time of the entry point's `load` and call, just after an
`import torch` that called none. Outside: the difference between whole processes that `import torch` with and without
us, which is noisier, since all of torch is in it. The first is held to 10 ms; the exit code is 1 above that.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Any

LIMIT_MS = 10.0

INSIDE = """
import time
import torch  # calls no entry point: TORCH_DEVICE_BACKEND_AUTOLOAD is 0
from importlib.metadata import entry_points
(ours,) = [e for e in entry_points(group="torch.backends") if e.name == "pe_nnunet"]
started = time.perf_counter()
ours.load()()
print(1000 * (time.perf_counter() - started))
"""


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """Rows of medians."""
    runs = 5 if quick else 30
    inside, with_us, without_us = measure(runs)
    data = f"{runs} fresh interpreters, medians"
    return [
        {"what": "load and call of the entry point", "data": data, "unit": "ms", "ours": statistics.median(inside)}
        | {"limit": LIMIT_MS},
        {"what": "process that imports torch", "data": data, "unit": "ms", "ours": statistics.median(with_us)}
        | {"peer": "the same without us", "theirs": statistics.median(without_us)},
    ]


def measure(runs: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of the entry point, and of processes with and without us."""
    _process_ms("import torch")  # the first one reads everything from disk
    inside, with_us, without_us = [], [], []
    for _ in range(runs):  # taking turns, so that what else the machine does falls on all alike
        inside.append(float(_python(INSIDE, TORCH_DEVICE_BACKEND_AUTOLOAD="0")))
        with_us.append(_process_ms("import torch"))
        without_us.append(_process_ms("import torch", TORCH_DEVICE_BACKEND_AUTOLOAD="0"))
    return inside, with_us, without_us


def main() -> int:
    """Measure and print; 1 if the entry point costs more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="fresh interpreters for each figure (default 30)")
    runs = parser.parse_args().runs

    inside, with_us, without_us = measure(runs)
    print(f"fresh interpreters per figure: {runs}; medians (quartiles), milliseconds")
    print(f"load and call of the entry point   {_summary(inside)}")
    print(f"process importing torch, with us   {_summary(with_us)}")
    print(f"process importing torch, without   {_summary(without_us)}")
    print(f"difference of the medians          {statistics.median(with_us) - statistics.median(without_us):8.2f}")
    return int(statistics.median(inside) > LIMIT_MS)


def _process_ms(code: str, **variables: str) -> float:
    started = time.perf_counter()
    _python(code, **variables)
    return 1000 * (time.perf_counter() - started)


def _python(code: str, **variables: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PE_NNUNET_REGISTER", *variables)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True).stdout


def _summary(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:8.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    sys.exit(main())
