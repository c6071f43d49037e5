"""What a study costs beside its network, as cohorts grow, and what a cohort of a million costs on many workers.

    python benchmarks/cohorts.py measure --studies 100 1000 10000        needs Ray; a network of milliseconds stands in
    python benchmarks/cohorts.py simulate --seconds 30 --dollars 1.2     no Ray: times and losses are drawn

`measure` hands studies out to workers on this machine, each of which waits and writes a manifest, and prints seconds,
growth of this process and bytes on disk for each study. `simulate` hands studies out by the same list of work, in the
order of events: each takes a time of a log-normal distribution (mean and spread given), and with the given chance a
worker is lost half-way through a study and one comes in its place after some minutes, which loads the models again. It
leaves out the time that the hand-out itself takes, which `measure` gives, and the speed of the storage.
"""

from __future__ import annotations

import argparse
import heapq
import random
import tempfile
import time
from functools import partial
from math import exp, log
from pathlib import Path

from stand_in_study import stand_in

from pe_nnunet.cases import CaseFailure, run_cases
from pe_nnunet.cluster import EngineSettings, engine_of
from pe_nnunet.cluster.work_list import WorkList


def measure(studies: int, seconds: float, workers: int) -> dict[str, float]:
    """Cost of a study.

    Args:
        studies: How many.
        seconds: Of the stand-in.
        workers: That share them.

    Returns:
        Seconds, kB of this process and kB on disk, each for one study; start of Ray and of the workers left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(engine="ray", max_workers=workers, cpus_per_worker=1)
        work = partial(stand_in, folder=folder, seconds=seconds)
        with engine_of(settings, Path(folder)) as engine:
            warm = {str(-k): -k for k in range(1, 8 * workers)}
            list(run_cases(work, warm, engine=engine))
            before_kb, started = _resident_kb(), time.perf_counter()
            done = sum(
                not isinstance(found, CaseFailure) for _, found in run_cases(work, _items(studies), engine=engine)
            )
            took_s, grown_kb = time.perf_counter() - started, _resident_kb() - before_kb
        assert done == studies
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*.json"))
    return {"seconds": took_s / studies, "kB of memory": grown_kb / studies, "kB on disk": disk / 1024 / studies}


def simulate(
    studies: int, workers: int, lost: float, seconds: float, spread: float, replaced_s: float, load_s: float
) -> tuple[float, float, int]:
    """A run, event by event.

    Args:
        studies: How many.
        workers: That share them.
        lost: Chance that the worker of a study is lost.
        seconds: Mean time of a study.
        spread: Standard deviation of its logarithm.
        replaced_s: From a loss until another worker is there.
        load_s: What a worker takes before its first study.

    Returns:
        Seconds of the whole, the share of the workers' time that went into studies that were done, and how many
        studies were given up.
    """
    draw = random.Random(0)  # noqa: S311 - no secret
    mean_log = log(seconds) - spread**2 / 2
    left = WorkList(map(str, range(studies)))
    free = [(load_s, k) for k in range(workers)]
    end = useful = 0.0
    given_up = 0
    while len(left):
        now, worker = heapq.heappop(free)
        batch = left.take(workers)
        for k, case in enumerate(batch):
            took = exp(draw.gauss(mean_log, spread))
            if draw.random() < lost:
                now += took / 2 + replaced_s + load_s
                given_up += left.lost(batch[k:], case)
                break
            now += took
            useful += took
        end = max(end, now)
        heapq.heappush(free, (now, worker))
    return end, useful / (end * workers), given_up


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "simulate"))
    parser.add_argument("--studies", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, help="of a study; default 0.005 to measure, 30 to simulate")
    parser.add_argument("--dollars", type=float, default=1.0, help="of a worker and hour; default %(default)s")
    parser.add_argument("--lost", type=float, nargs="+", default=[0, 0.01, 0.1])
    args = parser.parse_args()
    if args.what == "measure":
        for studies in args.studies:
            for workers in args.workers:
                found = measure(studies, args.seconds or 0.005, workers)
                print(
                    f"{studies} studies, {workers} workers:", *(f"{value:.4f} {name}" for name, value in found.items())
                )
        return
    seconds = args.seconds or 30.0
    print("| studies | workers | lost | hours | efficiency | $ / 1,000 | given up |\n|" + " ---: |" * 7)
    for studies in args.studies:
        for workers in args.workers:
            for lost in args.lost:
                end_s, efficiency, given_up = simulate(studies, workers, lost, seconds, 0.5, 120, 60)
                dollars = end_s / 3600 * workers * args.dollars / studies * 1000
                cells = (f"{end_s / 3600:.2f}", f"{efficiency:.3f}", f"{dollars:.2f}", str(given_up))
                print("|", " | ".join([str(studies), str(workers), f"{lost:g}", *cells]), "|", flush=True)


def _items(studies: int) -> dict[str, int]:
    return {str(number): number for number in range(studies)}


def _resident_kb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


if __name__ == "__main__":
    main()
