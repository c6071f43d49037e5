"""Equal wall time for every arm: stock nnU-Net, our trainer, ensembles, and the recipe with one part changed.

    python benchmarks/equal_budget.py --work FOLDER --minutes 10 --seeds 0 1
    python benchmarks/equal_budget.py --work FOLDER --minutes 10 --studies RENDERED --splits 0 1 2 3 4
    python benchmarks/equal_budget.py --work FOLDER --minutes 2 --device cuda --jobs 8 --arms all
    python benchmarks/equal_budget.py --write docs/equal_budget.md

Data are coarse phantoms, or a folder of studies of which each split scores another pair. All arms have the same lung
crop, the same memory target, fold 0's split, the same predictor and component finder; threshold and smallest finding
are chosen on the validation scans of each arm. A rehearsal of 32 steps, 128 on a GPU, says how many steps fit into the
time, so that each learning rate schedule comes to its end. Every finished run is appended to the results file, and the
summary in it is made anew; what is in it, or trained already in FOLDER, is not done again. Nothing else should run
beside it: time is wall time. With --jobs several arms are at work at a time, each with its part of the processors, and
all on one GPU: compare them with each other, not with arms that had the machine to themselves.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

from budget.arms import ARMS
from budget.curves import draw
from budget.data import Cohort, phantom_cohort, studies_cohort
from budget.goals import goals
from budget.share import Share
from budget.summary import summaries
from budget.table import tables
from budget.work import Job, results

from pe_nnunet.files import atomic_json, atomic_text

RESULTS = Path(__file__).parent / "results" / "equal_budget.json"
MAIN = [arm.name for arm in ARMS.values() if arm.group == "main"]
START, END = "<!-- results: generated -->", "<!-- results: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for scans, plans, models and predictions")
    parser.add_argument("--minutes", type=float, default=10.0, help="wall time of each arm's training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", default=MAIN, help=f"all, or of: {'; '.join(ARMS)}")
    parser.add_argument("--studies", type=Path, help="folder of studies, instead of phantoms")
    parser.add_argument("--splits", type=int, nargs="+", default=[0], help="with --studies: which pairs are scored")
    parser.add_argument("--train-scans", type=int, default=60, help="phantoms")
    parser.add_argument("--test-scans", type=int, default=24, help="phantoms")
    parser.add_argument("--memory-gb", type=float, default=0.5, help="the planners' memory target")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default %(default)s")
    parser.add_argument("--jobs", type=int, default=1, help="arms at work at a time; default %(default)s")
    parser.add_argument("--prepare", action="store_true", help="only make scans and plans")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", type=Path, help="page that gets the tables")
    args = parser.parse_args()
    names = list(ARMS) if args.arms == ["all"] else args.arms
    if unknown := [name for name in names if name not in ARMS]:
        parser.error(f"no arm {unknown[0]!r}; there are: {'; '.join(ARMS)}")
    if args.work is not None:
        _run(_jobs(args, names), args)
    elif args.write is None:
        parser.error("name a folder with --work, or a page with --write")
    runs = _runs(args.results)
    lines = tables(summaries(runs), goals(runs))
    print("\n".join(lines))
    if args.write is not None:
        _write(args.write, lines, runs)


def _jobs(args: argparse.Namespace, names: list[str]) -> list[Job]:
    """What is not in the results yet: for each seed and cohort the arms in the order given."""
    share = Share(args.device, args.jobs)
    phantoms = f"Coarse phantoms, {args.train_scans} to train and {args.test_scans} to score"
    title = f"{args.studies.name if args.studies else phantoms}{share}"
    done = _runs(args.results)
    jobs, cohorts = [], {}
    for seed, split, name in product(args.seeds, args.splits if args.studies else [0], names):
        key = {"cohort": title, "split": split, "minutes": args.minutes, "arm": name, "seed": seed}
        if not any(key.items() <= run.items() for run in done):
            if split not in cohorts:
                cohorts[split] = _cohort(args, split, share)
            jobs.append(Job(cohorts[split], key))
    return jobs


def _run(jobs: list[Job], args: argparse.Namespace) -> None:
    for job in jobs:
        for arm in job.trainings:
            job.cohort.prepare(arm)
    if args.prepare:
        return
    args.results.parent.mkdir(parents=True, exist_ok=True)
    for run in results(jobs, args.jobs):
        runs = [*_runs(args.results), run]
        atomic_json(args.results, {"summary": summaries(runs), "goals": goals(runs), "runs": runs})


def _cohort(args: argparse.Namespace, split: int, share: Share) -> Cohort:
    if args.studies is None:
        return phantom_cohort(
            args.work.resolve() / f"phantom_{args.train_scans}_{args.test_scans}",
            args.train_scans,
            args.test_scans,
            args.memory_gb,
            share,
        )
    folder = args.work.resolve() / f"{args.studies.name}_{split}"
    return studies_cohort(folder, args.studies, split, 2, args.memory_gb, share)


def _runs(path: Path) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    return runs


def _write(page: Path, lines: list[str], runs: list[dict[str, Any]]) -> None:
    text = page.read_text()
    if START not in text or END not in text:
        raise SystemExit(f"{page} has no lines {START!r} and {END!r} for the tables to go between")
    head, tail = text.partition(START)[0], text.partition(END)[2]
    if runs:
        picture = page.parent / "images" / f"{page.stem}.png"
        draw(runs, picture)
        alt = "Emboli found against false positives a scan, and Dice of validation patches in training, of each arm"
        lines = [f"![{alt}](images/{picture.name})", "", *lines]
    atomic_text(page, "\n".join([f"{head}{START}", "", *lines, f"{END}{tail}"]))


if __name__ == "__main__":
    main()
