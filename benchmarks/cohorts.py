"""What a study costs beside its network, as cohorts grow, and what a cohort of a million costs on many workers.

    python benchmarks/cohorts.py measure --studies 100 1000 10000        needs Ray; a network of milliseconds stands in
    python benchmarks/cohorts.py simulate --seconds 30 --dollars 1.2     no Ray: times and losses are drawn

`measure` hands studies out to workers on this machine, each of which waits and writes a manifest, with results in
subfolders and their index; it prints time, what this process keeps and bytes on disk for each study, the memory of
Ray's head (its GCS server and raylet), and how long a run with `--resume` takes to see that all is done.
`simulate` hands studies out by the same list of work, in the order of events: each takes a time of a log-normal
distribution (mean and spread given), and with the given chance a worker is lost half-way through a study and one comes
in its place after some minutes, which loads the models again. It leaves out the time that the hand-out itself takes,
which `measure` gives, and the speed of the storage.
"""

from __future__ import annotations

import argparse
import heapq
import random
import tempfile
import time
import tracemalloc
from functools import partial
from math import exp, log
from pathlib import Path
from statistics import median

import psutil
from stand_in_study import StandIn, stand_in

from pe_nnunet.cases import CaseFailure, run_cases
from pe_nnunet.cases.engine import Engine
from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.cluster import EngineSettings, engine_of
from pe_nnunet.cluster.work_list import WorkList
from pe_nnunet.inference.resume import Look, done_before
from pe_nnunet.outputs.results_index import IndexRow, ResultsIndex
from pe_nnunet.volumes import find_scans

HEAD = ("gcs_server", "raylet")


def measure(studies: int, seconds: float, engine: Engine | None, head_age_s: float = 0) -> dict[str, float]:
    """Cost of a study.

    Args:
        studies: How many.
        seconds: Of the stand-in.
        engine: What hands them out; None to do them here.
        head_age_s: How long Ray has run when its memory is read, at least: it grows with time, at work or not.

    Returns:
        For one study: milliseconds, of which this process computes, kB that Python keeps here, and kB on disk. The
        most that Python took here in kB; both are 0 unless tracemalloc runs. Memory of Ray's head in MB, 0 without one.
        And the seconds of a run after it with `--resume`.
    """
    with tempfile.TemporaryDirectory() as folder:
        scans, results = Path(folder, "scans"), Path(folder, "results")
        _write_scans(scans, studies)
        results.mkdir()
        output = OutputFolder(results, 2)
        look = Look(output, None, None, 1, frozenset({"emboli"}))
        work = partial(stand_in, look=look, seconds=seconds)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        refs = find_scans(scans)
        started, computed = time.perf_counter(), time.process_time()
        with ResultsIndex(output) as index:
            for _, found in run_cases(work, {ref.case_id: ref for ref in refs}, engine=engine):
                assert not isinstance(found, CaseFailure)
                index.add(IndexRow(found[0], *(found[1] or ("", "", ""))))
        index.compact()
        took_s, (kept, most) = time.perf_counter() - started, tracemalloc.get_traced_memory()
        computed_s, head_mb = time.process_time() - computed, _head_mb(head_age_s)
        disk = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
        started = time.perf_counter()
        refs = find_scans(scans)
        found_s = time.perf_counter() - started
        there = done_before(refs, look, index, StandIn(), None)
        index.compact()
        resumed_s = time.perf_counter() - started
        assert len(there) == studies
    return {
        "ms": 1000 * took_s / studies,
        "ms of this process": 1000 * computed_s / studies,
        "kB kept": (kept - before) / 1024 / studies,
        "kB at most": (most - before) / 1024,
        "kB on disk": disk / 1024 / studies,
        "MB of the head": head_mb,
        "s to find the scans again": found_s,
        "s to find them and that all are done": resumed_s,
    }


def _write_scans(folder: Path, studies: int) -> None:
    """Files of one byte, which nobody reads."""
    for number in range(studies):
        below = folder / f"{number % 256:02x}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number:06d}.nii.gz").write_bytes(b"0")


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
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="on Ray; 0: none")
    parser.add_argument("--repeats", type=int, default=1, help="of each measurement, of which medians are printed")
    parser.add_argument("--memory", action="store_true", help="measure that of this process, which slows it down")
    parser.add_argument("--head-age", type=float, default=0, help="seconds that Ray has run when its memory is read")
    parser.add_argument("--seconds", type=float, help="of a study; default 0.005 to measure, 30 to simulate")
    parser.add_argument("--dollars", type=float, default=1.0, help="of a worker and hour; default %(default)s")
    parser.add_argument("--lost", type=float, nargs="+", default=[0, 0.01, 0.1])
    args = parser.parse_args()
    if args.what == "measure":
        seconds = args.seconds or 0.005
        for workers in args.workers:
            on_ray = {"engine": "ray", "max_workers": workers, "cpus_per_worker": 1}
            settings = EngineSettings(**on_ray if workers else {})
            with engine_of(settings, Path(tempfile.gettempdir())) as engine:
                measure(500, seconds, engine)  # workers start, and modules are loaded
                if args.memory:
                    tracemalloc.start()
                for studies in args.studies:
                    found = [measure(studies, seconds, engine, args.head_age) for _ in range(args.repeats)]
                    said = ", ".join(f"{median(one[name] for one in found):.3f} {name}" for name in found[0])
                    print(f"{studies} studies, {workers} workers: {said}", flush=True)
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


def _head_mb(age_s: float) -> float:
    head = [each for each in psutil.Process().children(recursive=True) if each.name() in HEAD]
    time.sleep(max([0.0, *(each.create_time() + age_s - time.time() for each in head)]))
    return sum(each.memory_info().rss for each in head) / 1024**2


if __name__ == "__main__":
    main()
