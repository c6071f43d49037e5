"""Mutated files over our readers.

    make fuzz                                        20,000 cases a reader
    make fuzz ARGS="--files 500 --seed 7 --reader dicom"
    python -m fuzz --replay .fuzz/nifti_1_833       one kept case again

Exit code 1 if a case fails. What fails is kept below --keep: the input and a line that says why.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from fuzz.runner import FAILURES, LIMIT_BYTES, LIMIT_S, Job, Report, run

NIGHTLY = 20_000


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=NIGHTLY, help="cases a reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--reader", action="append", help="only this one; may be given several times")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where failing cases are kept")
    parser.add_argument("--json", type=Path, help="write the counts there")
    parser.add_argument("--replay", type=Path, help="read one kept case again, in this process")
    args = parser.parse_args()
    if args.replay is not None:
        return replay(args.replay)
    from fuzz.readers import READERS

    unknown = set(args.reader or ()) - set(READERS)
    if unknown:
        parser.error(f"no reader {', '.join(unknown)}; there are {', '.join(READERS)}")
    names = args.reader or list(READERS)
    jobs: list[Job] = [(name, args.seed, args.first, args.first + args.files) for name in names]
    reports = {name: Report() for name in names}
    started = time.monotonic()
    args.keep.mkdir(parents=True, exist_ok=True)
    shares = [jobs[k :: args.jobs] for k in range(args.jobs)]
    threads = [
        threading.Thread(target=run, args=(share, args.keep.resolve(), lambda line: print(line, flush=True), reports))
        for share in shares
        if share
    ]
    for thread in threads:
        thread.start()
    total, told = args.files * len(names), started
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(1.0)
        every_s = 1.0 if sys.stderr.isatty() else 60.0
        if time.monotonic() >= told + every_s:
            told = time.monotonic()
            _progress(reports, total, told - started)
    return _summary(reports, args.files, args.json)


def _progress(reports: dict[str, Report], total: int, seconds: float) -> None:
    done = sum(report.counts.total() for report in reports.values())
    failed = sum(len(report.failures) for report in reports.values())
    text = f"{done} of {total} cases, {failed} failed, {seconds:.0f} s"
    if sys.stderr.isatty():
        print(f"\r{text} ", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def _summary(reports: dict[str, Report], files: int, path: Path | None) -> int:
    print(f"{'reader':12} {'cases':>6} {'refused':>8} {'same':>6} {'failed':>6}  slowest s  MiB", flush=True)
    for name, report in reports.items():
        counts = report.counts
        print(
            f"{name:12} {counts.total():6} {counts['refused']:8} {counts['same']:6} {len(report.failures):6}"
            f"  {report.slowest_s:9.2f}  {report.most_bytes >> 20}"
        )
    if path is not None:
        found = {name: {**r.counts, "failures": r.failures, "codes": r.codes} for name, r in reports.items()}
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    short = [name for name, report in reports.items() if report.counts.total() < 0.9 * files]
    if short:
        print(f"fewer cases than asked for: {', '.join(short)}")
    return int(bool(short) or any(report.failures for report in reports.values()))


def replay(place: Path) -> int:
    """Read one kept case in this process, with whatever it says."""
    from fuzz.readers import READERS
    from fuzz.sample import load, write
    from fuzz.worker import outcome

    reader = READERS[place.name.rsplit("_", 2)[0]]
    print((place / "reason.txt").read_text(encoding="utf-8"), end="")
    with tempfile.TemporaryDirectory() as folder:
        write(load(place / "input"), Path(folder))
        said: list[dict[str, float]] = []
        found = outcome(reader, Path(folder), said.append)
    print(f"now: {found['kind']} {found['why']} ({said[0]['seconds']:.2f} s, {int(said[0]['peak']) >> 20} MiB)")
    return int(found["kind"] in FAILURES or said[0]["seconds"] > LIMIT_S or said[0]["peak"] > LIMIT_BYTES)


if __name__ == "__main__":
    raise SystemExit(main())
