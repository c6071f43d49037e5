"""What each trick of the machine saves of the whole command that the user waits for, with it and without it in turn.

    python benchmarks/machine_tricks.py [--scan CT.nii.gz] [--model FOLDER] [--repeats 5] [--quick]

The command is `pe-nnunet predict-fused` of one scan, as in `benchmarks/inference.py`: without --scan a phantom of 1 mm,
without --model a plain U-Net of random weights. Each run is a process of its own from start to end, in which one trick
is taken out of the package; the variants take turns, and of each the least time, processor time (user and system) and
peak memory of the process count. A trick stays in the package while it saves a tenth of one of them; a new one is a
line in `TRICKS`. Linux.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference import our_arguments, phantom
from random_model import QUICK, USUAL, random_model

NOTHING = "nothing"  # is taken out
MEASURES = (("time", "s"), ("processor time", "s"), ("peak memory", "GB"))


def main() -> int:
    if sys.argv[1:2] == ["--without"]:
        return without(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, help="CT; default: a phantom")
    parser.add_argument("--model", type=Path, help="nnU-Net model folder with fold 0; default: random weights")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each variant; default %(default)s")
    parser.add_argument("--quick", action="store_true", help="phantom of 4 mm, a small network and one run each")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        phantom(args.make / "phantom", 4.0 if args.quick else 1.0)
        random_model(args.make, QUICK if args.quick else USUAL)
        return 0
    for row in bench(quick=args.quick, scan=args.scan, model=args.model, repeats=args.repeats):
        ratio = row["ours"] / row["theirs"]
        print(f"{row['what']:<45}{row['ours']:8.2f} {row['theirs']:8.2f} {row['unit']:<3}{ratio:6.2f}", flush=True)
    return 0


def bench(
    *, quick: bool, scan: Path | None = None, model: Path | None = None, repeats: int = 5
) -> list[dict[str, Any]]:
    """Rows of each trick: the command with it and without it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # in a process of its own: on Linux a child's peak memory begins with what its parent holds
        making = [sys.executable, __file__, "--make", str(folder), *(["--quick"] if quick else [])]
        subprocess.run(making, check=True, stdout=subprocess.DEVNULL)
        ct = scan or next((folder / "phantom").glob("*/ct.nii.gz"))
        arguments = our_arguments(ct, folder / "out", model or next(folder.glob("*__3d_fullres")))
        least = measure(arguments, [NOTHING, *TRICKS], folder / "out", 1 if quick else repeats)
    data = f"predict-fused, {scan or f'phantom of {4 if quick else 1} mm'}"
    return [
        {"what": f"{trick}: {what}", "data": data, "unit": unit, "ours": with_it}
        | {"peer": "the same command without it", "theirs": without_it}
        for trick in TRICKS
        for (what, unit), with_it, without_it in zip(MEASURES, least[NOTHING], least[trick], strict=True)
    ]


def measure(arguments: list[str], variants: list[str], out: Path, repeats: int) -> dict[str, list[float]]:
    """Least seconds, processor seconds and GB of each variant."""
    seen: dict[str, list[tuple[float, float, float]]] = {variant: [] for variant in variants}
    for turn in range(repeats):
        for variant in variants[turn % len(variants) :] + variants[: turn % len(variants)]:  # none is always the first
            shutil.rmtree(out, ignore_errors=True)
            seen[variant].append(run([sys.executable, __file__, "--without", variant, *arguments]))
    return {variant: [min(values) for values in zip(*runs, strict=True)] for variant, runs in seen.items()}


def run(command: list[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds, and peak memory in GB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, errors[-3000:]
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9


def without(trick: str, arguments: list[str]) -> int:
    """Our command with a trick taken out."""
    from pe_nnunet.cli import main as command

    if trick != NOTHING:
        TRICKS[trick]()
    return command(["predict-fused", *arguments])


def _resampling_by_nnunet() -> None:
    from pe_nnunet.inference.resampling import Resampling

    Resampling.of_plans = lambda *_: None  # type: ignore[method-assign]  # such plans are left to nnU-Net's functions


TRICKS: dict[str, Callable[[], None]] = {"resampling by matrices": _resampling_by_nnunet}  # what takes each out


if __name__ == "__main__":
    raise SystemExit(main())
