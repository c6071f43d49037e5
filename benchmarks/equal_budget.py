"""Equal wall time for every arm: stock nnU-Net, our trainer, ensembles, and the recipe with one part changed.

    python benchmarks/equal_budget.py --work FOLDER --minutes 10 --seeds 0 1
    python benchmarks/equal_budget.py --work FOLDER --minutes 10 --studies RENDERED --splits 0 1 2 3 4
    python benchmarks/equal_budget.py --write docs/equal_budget.md

Data are coarse phantoms, or a folder of studies of which each split scores another pair. All arms have the same lung
crop, the same memory target, fold 0's split, the same predictor and component finder; threshold and smallest finding
are chosen on the validation scans of each arm. A rehearsal of 32 steps says how many steps fit into the time, so that
each learning rate schedule comes to its end. Every finished run is appended to the results file, and the summary in it
is made anew; what is in it, or trained already in FOLDER, is not done again. Nothing else should run beside it: time is
wall time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from budget.arms import ARMS, Arm
from budget.curves import draw
from budget.data import Cohort, phantom_cohort, studies_cohort
from budget.goals import goals
from budget.score import predict, score
from budget.summary import summaries
from budget.table import tables
from budget.timing import train
from run import machine

from pe_nnunet.volumes.write import atomic_json, atomic_text

RESULTS = Path(__file__).parent / "results" / "equal_budget.json"
MAIN = [arm.name for arm in ARMS.values() if arm.group == "main"]
START, END = "<!-- results: generated -->", "<!-- results: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for scans, plans, models and predictions")
    parser.add_argument("--minutes", type=float, default=10.0, help="wall time of each arm's training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", default=MAIN, help=f"of: {'; '.join(ARMS)}")
    parser.add_argument("--studies", type=Path, help="folder of studies, instead of phantoms")
    parser.add_argument("--splits", type=int, nargs="+", default=[0], help="with --studies: which pairs are scored")
    parser.add_argument("--train-scans", type=int, default=60, help="phantoms")
    parser.add_argument("--test-scans", type=int, default=24, help="phantoms")
    parser.add_argument("--memory-gb", type=float, default=0.5, help="the planners' memory target")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", type=Path, help="page that gets the tables")
    args = parser.parse_args()
    if unknown := [name for name in args.arms if name not in ARMS]:
        parser.error(f"no arm {unknown[0]!r}; there are: {'; '.join(ARMS)}")
    if args.work is not None:
        for seed in args.seeds:
            for split in args.splits if args.studies else [0]:
                for name in args.arms:
                    _run_arm(args, ARMS[name], seed, split)
    elif args.write is None:
        parser.error("name a folder with --work, or a page with --write")
    runs = _runs(args.results)
    lines = tables(summaries(runs), goals(runs))
    print("\n".join(lines))
    if args.write is not None:
        _write(args.write, lines, runs)


def _run_arm(args: argparse.Namespace, arm: Arm, seed: int, split: int) -> None:
    name = (
        args.studies.name
        if args.studies
        else f"Coarse phantoms, {args.train_scans} to train and {args.test_scans} to score"
    )
    key = {"cohort": name, "split": split, "minutes": args.minutes, "arm": arm.name, "seed": seed}
    if any(key.items() <= run.items() for run in _runs(args.results)):
        return
    print(f"{arm.name}, seed {seed}, split {split}", flush=True)
    cohort = _cohort(args, split)
    trained = [_trained(cohort, ARMS[member], seed, args.minutes) for member in arm.members or (arm.name,)]
    folder = _folder(cohort, arm, seed, args.minutes)
    seconds = predict(cohort, arm, [Path(record["model"]) for record in trained], folder)
    run = {
        **key,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "train_seconds": sum(record["seconds"] for record in trained),
        "steps": " + ".join(str(record["steps"]) for record in trained),
        "memory_gb": max(record["memory_gb"] for record in trained),
        "curve": [record["curve"] for record in trained],
        "scan_seconds": sum(seconds.values()) / len(seconds),
        **score(cohort, folder),
    }
    args.results.parent.mkdir(parents=True, exist_ok=True)
    runs = [*_runs(args.results), run]
    atomic_json(args.results, {"summary": summaries(runs), "goals": goals(runs), "runs": runs})


def _trained(cohort: Cohort, arm: Arm, seed: int, minutes: float) -> dict[str, Any]:
    cohort.prepare(arm)
    return train(cohort, arm, seed, minutes, _folder(cohort, arm, seed, minutes))


def _folder(cohort: Cohort, arm: Arm, seed: int, minutes: float) -> Path:
    name = "".join(letter if letter.isalnum() else "_" for letter in arm.name)
    return cohort.folder / "runs" / f"{name}_{minutes:g}min" / f"seed_{seed}"


def _cohort(args: argparse.Namespace, split: int) -> Cohort:
    if args.studies is None:
        return phantom_cohort(
            args.work.resolve() / f"phantom_{args.train_scans}_{args.test_scans}",
            args.train_scans,
            args.test_scans,
            args.memory_gb,
        )
    folder = args.work.resolve() / f"{args.studies.name}_{split}"
    return studies_cohort(folder, args.studies, split, 2, args.memory_gb)


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
