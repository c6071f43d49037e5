"""Equal time, or equal steps, for every arm: stock nnU-Net, our trainers, forms of TAR-UNet, ensembles, recipes.

    python benchmarks/equal_budget.py --work FOLDER --studies RENDERED --test '02[1-9]' 030 'e07*' --minutes 30
    python benchmarks/equal_budget.py --work FOLDER --minutes 30 --seeds 0 1 --arms "TAR-UNet, light" "stock, ResEnc-M"
    python benchmarks/equal_budget.py --work FOLDER --steps 2000 --device cuda --memory-gb 8
    python benchmarks/equal_budget.py --write docs/equal_budget.md

Scans are coarse phantoms made here, or studies as `pe-nnunet phantom` writes them, of which --test names those that
are never trained or tuned on. `budget/arms.py` defines the arms. All have the same memory target, fold 0's split,
predictor and finder of emboli; threshold and smallest finding are chosen on the validation scans of each arm. Nothing
else should run beside it: time is wall time. The same command goes on where it was stopped: what is in the results, or
trained and predicted in FOLDER already, is not done again. An arm that fails is told, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path

from budget.arms import ARMS
from budget.curves import draw
from budget.data import Cohort, cohort, phantoms
from budget.goals import goals
from budget.summary import summaries
from budget.table import tables
from budget.timing import Budget
from budget.work import Job, Run
from run import replace_between

from pe_nnunet.evaluation import read_patients
from pe_nnunet.files import atomic_json, atomic_text

RESULTS = Path(__file__).parent / "results" / "equal_budget.json"
GROUPS = {arm.name: arm.group for arm in ARMS.values()}
MAIN = [name for name, group in GROUPS.items() if group == "main"]


def main() -> int:
    """Run, write, print; the exit code is 1 if an arm failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for scans, plans, models and predictions")
    parser.add_argument("--studies", type=Path, help="folder of studies, in place of phantoms made here")
    parser.add_argument("--test", nargs="+", metavar="PATTERN", help="with --studies: names of those to score")
    parser.add_argument("--patients", type=Path, help="whose each study is: CSV with the columns case and patient")
    parser.add_argument("--train-scans", type=int, default=60, help="phantoms; default %(default)s")
    parser.add_argument("--test-scans", type=int, default=24, help="phantoms; default %(default)s")
    parser.add_argument("--arms", nargs="+", default=MAIN, metavar="ARM", help=f"all, or of: {'; '.join(ARMS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    budgets = parser.add_mutually_exclusive_group()
    budgets.add_argument("--minutes", type=float, help="wall time of each arm's training; default 30")
    budgets.add_argument("--steps", type=int, help="of each arm's training, in place of a time")
    parser.add_argument("--memory-gb", type=float, default=0.5, help="the planners' target; default %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default %(default)s")
    parser.add_argument("--prepare", action="store_true", help="only make scans, datasets and plans")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", type=Path, help="page that gets the tables")
    args = parser.parse_args()
    names = list(ARMS) if args.arms == ["all"] else args.arms
    if unknown := [name for name in names if name not in ARMS]:
        parser.error(f"no arm {unknown[0]!r}; there are: {'; '.join(ARMS)}")
    if args.work is None and args.write is None:
        parser.error("name a folder with --work, or a page with --write")
    if (args.studies is None) != (args.test is None):
        parser.error("--studies and --test belong together")
    failed = 0 if args.work is None else _run_all(args, names)
    runs = _runs(args.results)
    lines = tables(summaries(runs, GROUPS), goals(runs))
    print("\n".join(lines))
    if args.write is not None:
        _write(args.write, lines, runs)
    return int(failed > 0)


def _run_all(args: argparse.Namespace, names: list[str]) -> int:
    """Run what is not in the results yet, for each seed the arms in the order given; how many failed."""
    scans = _cohort(args)
    budget = Budget(args.minutes or 30, "minutes") if args.steps is None else Budget(args.steps, "steps")
    jobs = [Job(scans, ARMS[name], budget, seed) for seed, name in product(args.seeds, names)]
    failed = 0
    for job in jobs:
        if job.done(_runs(args.results)):
            continue
        try:
            job.prepare()
            if args.prepare:
                continue
            run = job.run()
        except SystemExit as error:  # of a command
            print(f"failed: {job.arm.name}: {error}", flush=True)
            failed += 1
            continue
        runs = [*_runs(args.results), run]
        args.results.parent.mkdir(parents=True, exist_ok=True)
        atomic_json(args.results, {"runs": runs})  # whatever becomes of the summary
        atomic_json(args.results, {"summary": summaries(runs, GROUPS), "goals": goals(runs), "runs": runs})
    return failed


def _cohort(args: argparse.Namespace) -> Cohort:
    work = args.work.resolve()
    studies, test = args.studies, args.test
    if studies is None:
        studies, test = phantoms(work, args.train_scans, args.test_scans)
    patients = read_patients(args.patients) if args.patients else {}
    return cohort(work, studies, test, args.memory_gb, args.device, patients)


def _runs(path: Path) -> list[Run]:
    runs: list[Run] = json.loads(path.read_text())["runs"] if path.exists() else []
    return runs


def _write(page: Path, lines: list[str], runs: list[Run]) -> None:
    if runs:
        picture = page.parent / "images" / f"{page.stem}.png"
        draw(runs, picture)
        lines = [f"![Emboli found against false positives a scan, of each arm](images/{picture.name})", "", *lines]
    atomic_text(page, replace_between(page.read_text(), "results", ["", *lines]))


if __name__ == "__main__":
    sys.exit(main())
